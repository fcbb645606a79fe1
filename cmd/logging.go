package main

import (
	uberzap "go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// lazily encodes the values that a logger carries once it logs something: controllers make a logger for each pass, and most passes say nothing.
func lazily() uberzap.Option {
	return uberzap.WrapCore(func(core zapcore.Core) zapcore.Core { return lazyCore{core} })
}

type lazyCore struct{ zapcore.Core }

// With does nothing yet, also where it is called upon what it returned.
func (c lazyCore) With(fields []zapcore.Field) zapcore.Core {
	return lazyCore{zapcore.NewLazyWith(c.Core, fields)}
}
