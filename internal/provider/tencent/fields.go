package tencent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	kjson "sigs.k8s.io/json"

	"github.com/livestream-operator/livestream-operator/internal/provider"
)

// fields is the callback as it came, by exact name: encoding/json would also take "SIGN" for "sign", and the last of two.
type fields map[string]json.RawMessage

func decode(body []byte) (fields, error) {
	body = bytes.TrimSpace(body)
	switch {
	case len(body) == 0:
		return nil, malformed("the body is empty; send the callback as a JSON object")
	case !utf8.Valid(body):
		return nil, malformed("the body is not UTF-8; send JSON in UTF-8")
	case body[0] != '{':
		return nil, malformed("the body is not a JSON object; send the callback as CSS does, in JSON and not as a form")
	}
	var f fields
	strict, err := kjson.UnmarshalStrict(body, &f, kjson.DisallowDuplicateFields)
	if err != nil {
		return nil, malformed("the body is not valid JSON; send one JSON object and nothing after it")
	}
	if len(strict) > 0 {
		return nil, malformed("a field appears twice; send every field once")
	}
	return f, nil
}

// has says whether the field is there and not null.
func (f fields) has(name string) bool {
	raw, there := f[name]
	return there && !bytes.Equal(raw, []byte("null"))
}

// text is a string field, or the literal text of a number: `sequence` is written both ways and is over 2^53.
// A field that is missing or null is "".
func (f fields) text(name string) (string, error) {
	if !f.has(name) {
		return "", nil
	}
	raw := f[name]
	switch first := raw[0]; {
	case first == '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return "", malformed("%s is not a valid JSON string", name)
		}
		return s, nil
	case first == '-' || first >= '0' && first <= '9':
		return string(raw), nil
	default:
		return "", malformed("%s must be a string", name)
	}
}

// integer is a whole number, or a string of one. A field that is missing, null or an empty string is (0, false).
func (f fields) integer(name string, lowest, highest int64) (value int64, there bool, err error) {
	text, err := f.text(name)
	if err != nil {
		return 0, false, malformed("%s must be a whole number", name)
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, false, nil
	}
	value, err = strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, false, malformed("%s must be a whole number of at most 64 bits, in digits", name)
	}
	if value < lowest || value > highest {
		return 0, false, malformed("%s is %d; it must be from %d to %d", name, value, lowest, highest)
	}
	return value, true, nil
}

// identity is a text that names something: required, bounded, without control characters.
func (f fields) identity(name string, longest int) (string, error) {
	text, err := f.text(name)
	switch {
	case err != nil:
		return "", err
	case text == "":
		return "", malformed("%s is missing; it is needed to tell which push this is", name)
	case len(text) > longest:
		return "", malformed("%s has %d bytes; at most %d are allowed", name, len(text), longest)
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "", malformed("%s has control characters; send it as it stands in the push URL", name)
	}
	return text, nil
}

// remark is a text for people: whatever it is, it is made printable and short, never refused.
func (f fields) remark(name string, longest int) string {
	text, err := f.text(name)
	if err != nil {
		return ""
	}
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text))
	for len(text) > longest {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

// pixels is a length in pixels, 0 where it is unknown or makes no sense.
func (f fields) pixels(name string) int32 {
	value, _, err := f.integer(name, 0, math.MaxUint16)
	if err != nil {
		return 0
	}
	return int32(value) //nolint:gosec // bounded above
}

func malformed(format string, values ...any) error {
	return fmt.Errorf("%w: %s", provider.ErrMalformed, fmt.Sprintf(format, values...))
}
