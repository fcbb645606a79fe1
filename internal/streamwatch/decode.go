package streamwatch

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/json"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// serializers are those of a client, of which the JSON ones read a watch as said above.
type serializers struct{ runtime.NegotiatedSerializer }

func (s serializers) SupportedMediaTypes() []runtime.SerializerInfo {
	types := slices.Clone(s.NegotiatedSerializer.SupportedMediaTypes())
	for i := range types {
		if stream := types[i].StreamSerializer; types[i].MediaType == runtime.ContentTypeJSON && stream != nil {
			ours := *stream
			ours.Serializer, ours.Framer = events{stream.Serializer}, lines{stream.Framer}
			types[i].StreamSerializer = &ours
		}
	}
	return types
}

func (s serializers) DecoderToVersion(decoder runtime.Decoder, version runtime.GroupVersioner) runtime.Decoder {
	return streams{s.NegotiatedSerializer.DecoderToVersion(decoder, version)}
}

// beginning is how API servers begin an event of a type.
type beginning struct {
	of   watch.EventType
	text []byte
}

func beginningOf(of watch.EventType) beginning {
	return beginning{of, fmt.Appendf(nil, `{"type":%q,"object":`, of)}
}

// beginnings are of those events that tell of an object, the frequent ones first.
var beginnings = []beginning{beginningOf(watch.Modified), beginningOf(watch.Added), beginningOf(watch.Deleted)}

// events decodes the frames of a watch.
type events struct{ runtime.Serializer }

func (e events) Decode(frame []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if event, is := into.(*metav1.WatchEvent); is && defaults == nil {
		for _, b := range beginnings {
			if object, is := b.object(frame); is {
				// The bytes are the frame's: whoever decodes the object copies what it keeps.
				event.Type, event.Object.Raw = string(b.of), object
				return event, nil, nil
			}
		}
	}
	return e.Serializer.Decode(frame, defaults, into)
}

// object returns the object of the event, when it begins so and has nothing else.
func (b beginning) object(frame []byte) ([]byte, bool) {
	if !bytes.HasPrefix(frame, b.text) {
		return nil, false
	}
	frame = bytes.TrimRight(frame, "\n")
	end := endOfValue(frame, len(b.text))
	if end != len(frame)-1 || frame[end] != '}' {
		return nil, false
	}
	return frame[len(b.text):end], true
}

// API servers write the keys of an object of a custom kind sorted: a LiveStream begins with typeText, and metadataText.
var (
	typeOfStreams     = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "LiveStream"}
	typeText          = fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,`, typeOfStreams.APIVersion, typeOfStreams.Kind)
	metadataText      = []byte(`"metadata":{`)
	managedFieldsText = []byte(`"managedFields"`)
)

// streams decodes LiveStreams.
type streams struct{ runtime.Decoder }

func (s streams) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if defaults != nil || into != nil || !bytes.HasPrefix(data, typeText) {
		return s.Decoder.Decode(data, defaults, into)
	}
	stream := &v1alpha1.LiveStream{}
	short := shortened.Get().(*[]byte) //nolint:forcetypeassert // New makes no other
	defer recycle(short)
	*short = appendWithoutManagers((*short)[:0], data)
	if err := json.UnmarshalCaseSensitivePreserveInts(*short, stream); err != nil || stream.TypeMeta != typeOfStreams {
		return s.Decoder.Decode(data, defaults, into)
	}
	// As runtime.WithoutVersionDecoder does.
	stream.TypeMeta = metav1.TypeMeta{}
	stream.ManagedFields = nil
	return stream, new(typeOfStreams.GroupVersionKind()), nil
}

// shortened has what objects are shortened into. Whoever decodes one copies what it keeps.
var shortened = sync.Pool{New: func() any { return new([]byte) }}

// longestShort bounds what is kept for the next object, in bytes.
const longestShort = 256 << 10

func recycle(b *[]byte) {
	if cap(*b) <= longestShort {
		shortened.Put(b)
	}
}

// appendWithoutManagers appends the object with no value in metadata.managedFields, or as it is where that is not found.
func appendWithoutManagers(to, object []byte) []byte {
	at := len(typeText) + len(metadataText)
	if !bytes.HasPrefix(object[len(typeText):], metadataText) {
		return append(to, object...)
	}
	for {
		colon := endOfValue(object, at)
		if colon < 0 || colon >= len(object) || object[colon] != ':' {
			return append(to, object...)
		}
		end := endOfValue(object, colon+1)
		if end < 0 {
			return append(to, object...)
		}
		if bytes.Equal(object[at:colon], managedFieldsText) && object[colon+1] == '[' {
			return append(append(append(to, object[:colon+1]...), "null"...), object[end:]...)
		}
		if end >= len(object) || object[end] != ',' {
			return append(to, object...)
		}
		at = end + 1
	}
}

// endOfValue returns where the JSON value ends that begins there, without blanks, or -1 where none does. What is in it is not looked at.
func endOfValue(data []byte, from int) int {
	depth := 0
	for at := from; at < len(data); at++ {
		switch data[at] {
		case '{', '[':
			depth++
		case '"':
			if at = endOfText(data, at); at < 0 {
				return -1
			}
			if depth == 0 {
				return at + 1
			}
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1
			}
			fallthrough
		case ',':
			// Of a number, true, false or null.
			if depth <= 0 {
				if at == from {
					return -1
				}
				return at
			}
		}
	}
	return -1
}

// endOfText returns where the closing quotation mark is of the text that begins there, or -1.
func endOfText(data []byte, at int) int {
	for {
		next := bytes.IndexByte(data[at+1:], '"')
		if next < 0 {
			return -1
		}
		end := at + 1 + next
		escapes := 0
		for data[end-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return end
		}
		at = end
	}
}
