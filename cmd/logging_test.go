package main

import (
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

type told []string

func (t *told) Write(text []byte) (int, error) {
	*t = append(*t, string(text))
	return len(text), nil
}

func (*told) Sync() error { return nil }

// value counts how often it is encoded.
type value struct{ encoded *int }

func (v value) MarshalLogObject(into zapcore.ObjectEncoder) error {
	*v.encoded++
	into.AddString("name", "show")
	return nil
}

func TestValuesAreEncodedOnceSomethingIsLogged(t *testing.T) {
	t.Parallel()
	var lines told
	encoded := 0
	logger := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), &lines, zapcore.InfoLevel), lazily()).With(zap.Object("stream", value{&encoded})).With(zap.String("pass", "1"))
	logger.Debug("not logged")
	if encoded != 0 {
		t.Errorf("encoded %d times for a logger that logged nothing", encoded)
	}
	logger.Info("once")
	logger.Info("twice")
	if encoded != 1 {
		t.Errorf("encoded %d times, want once", encoded)
	}
	if len(lines) != 2 || !strings.Contains(lines[1], `"stream":{"name":"show"},"pass":"1"`) {
		t.Errorf("logged %q", lines)
	}
}
