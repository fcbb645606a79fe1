// Package statuspatch writes the status of LiveStreams, by as little as differs, and has the API server answer with metadata alone: the whole
// object would be encoded, sent and decoded for its version. So what somebody's admission changes on the way is not seen before the watch brings it.
package statuspatch

import (
	"context"
	"encoding/json"
	"fmt"

	jsonpatch "github.com/evanphx/json-patch/v5"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// Precondition has the API server refuse a patch with a conflict where the object is not any more what was decided on, or is another one of the
// name: a resourceVersion never comes again. A uid would not be looked at in a patch of a status.
type Precondition struct {
	ResourceVersion string `json:"resourceVersion"`
}

// On is the precondition that the object is as it is here.
func On(object metav1.Object) Precondition {
	return Precondition{ResourceVersion: object.GetResourceVersion()}
}

type document struct {
	Metadata Precondition    `json:"metadata"`
	Status   json.RawMessage `json:"status,omitempty"`
}

type holder struct {
	Status *v1alpha1.LiveStreamStatus `json:"status"`
}

// encode leaves an empty status out, which the API server does not take.
func encode(status *v1alpha1.LiveStreamStatus) ([]byte, error) {
	text, err := json.Marshal(holder{Status: status})
	if err != nil {
		return nil, fmt.Errorf("encoding a status: %w", err)
	}
	if string(text) == `{"status":{}}` {
		return []byte("{}"), nil
	}
	return text, nil
}

// Send writes a merge patch of the LiveStream's status, which carries its precondition, and returns the version that it made. Errors are the API server's.
func Send(ctx context.Context, writer client.StatusClient, stream *v1alpha1.LiveStream, patch []byte) (version string, err error) {
	written := Metadata()
	written.Namespace, written.Name = stream.Namespace, stream.Name
	err = writer.Status().Patch(ctx, written, client.RawPatch(types.MergePatchType, patch))
	return written.ResourceVersion, err
}

// Metadata is a LiveStream of which nothing but metadata is asked for.
func Metadata() *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("LiveStream"))
	return m
}

// Write gives the LiveStream the status, unless it changed since it was read, and returns it as it was written; it shares all but the status with
// the one that was.
func Write(ctx context.Context, writer client.StatusClient, stream *v1alpha1.LiveStream, status *v1alpha1.LiveStreamStatus) (*v1alpha1.LiveStream, error) {
	before, err := encode(&stream.Status)
	if err != nil {
		return nil, err
	}
	after, err := encode(status)
	if err != nil {
		return nil, err
	}
	differs, err := jsonpatch.CreateMergePatch(before, after)
	if err != nil {
		return nil, fmt.Errorf("comparing the status with what was: %w", err)
	}
	patch := document{Metadata: On(stream)}
	if err := json.Unmarshal(differs, &patch); err != nil {
		return nil, fmt.Errorf("reading how the status differs: %w", err)
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("encoding the patch of the status: %w", err)
	}
	version, err := Send(ctx, writer, stream, text)
	if err != nil {
		return nil, err
	}
	return with(stream, after, version)
}

// Applied is the LiveStream as the patch made it with that version.
func Applied(stream *v1alpha1.LiveStream, patch []byte, version string) (*v1alpha1.LiveStream, error) {
	before, err := encode(&stream.Status)
	if err != nil {
		return nil, err
	}
	after, err := jsonpatch.MergePatch(before, patch)
	if err != nil {
		return nil, fmt.Errorf("applying the patch of the status: %w", err)
	}
	return with(stream, after, version)
}

// with decodes what was written, so that it is as the API server keeps it: times without fractions.
func with(stream *v1alpha1.LiveStream, written []byte, version string) (*v1alpha1.LiveStream, error) {
	next := *stream
	next.ResourceVersion, next.Status = version, v1alpha1.LiveStreamStatus{}
	if err := json.Unmarshal(written, &holder{Status: &next.Status}); err != nil {
		return nil, fmt.Errorf("reading the status that was written: %w", err)
	}
	return &next, nil
}
