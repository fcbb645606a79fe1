package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

func TestRetry(t *testing.T) {
	t.Parallel()
	passing := errors.New("passing")
	const s = time.Second
	for name, row := range map[string]struct {
		backoff Backoff
		// errors are those of the tries, the last one of all that follow.
		errors []error
		pauses []time.Duration
		want   error
	}{
		"what works is done once":                        {errors: []error{nil}},
		"what fails is tried again until it works":       {Backoff{First: s, Max: 5 * s}, []error{passing, passing, passing, passing, passing, nil}, []time.Duration{s, 2 * s, 4 * s, 5 * s, 5 * s}, nil},
		"a pause is 200 ms to 5 s unless it is said":     {Backoff{GiveUp: 12 * s}, []error{passing}, []time.Duration{s / 5, 2 * s / 5, 4 * s / 5, 8 * s / 5, 16 * s / 5, 5 * s, 4 * s / 5}, passing},
		"the last try is when it is time to give up":     {Backoff{First: 4 * s, Max: 4 * s, GiveUp: 10 * s}, []error{passing}, []time.Duration{4 * s, 4 * s, 2 * s}, passing},
		"what will not pass by itself ends it":           {Backoff{}, []error{passing, fmt.Errorf("storing: %w", ErrDenied)}, []time.Duration{s / 5}, ErrDenied},
		"who expects it to be mended may ask for more":   {Backoff{First: s, Max: s, KeepTrying: func(err error) bool { return errors.Is(err, ErrFull) }}, []error{ErrFull, ErrFull, nil}, []time.Duration{s, s}, nil},
		"and not for other errors than those":            {Backoff{First: s, KeepTrying: func(err error) bool { return errors.Is(err, ErrFull) }}, []error{ErrFull, ErrNoBucket}, []time.Duration{s}, ErrNoBucket},
		"who keeps trying gives up all the same in time": {Backoff{First: s, Max: s, GiveUp: 2 * s, KeepTrying: Permanent}, []error{ErrDenied}, []time.Duration{s, s}, ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := newLeaping()
			row.backoff.Clock = at
			tries := 0
			err := Retry(t.Context(), row.backoff, func(context.Context) error {
				tries++
				return row.errors[min(tries, len(row.errors))-1]
			})
			if !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
				t.Errorf("error = %v, want %v", err, row.want)
			}
			if diff := gocmp.Diff(row.pauses, at.pauses); diff != "" {
				t.Errorf("pauses (-want +got):\n%s", diff)
			}
			if tries != len(row.pauses)+1 {
				t.Errorf("%d tries, want %d", tries, len(row.pauses)+1)
			}
		})
	}
}

func TestRetryEndsWithItsContextAndTellsWhatFailed(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	failed := errors.New("failed")
	err := Retry(ctx, Backoff{First: time.Hour, Max: time.Hour}, func(context.Context) error {
		cancel()
		return failed
	})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, failed) {
		t.Errorf("error = %v, want both", err)
	}
}

func TestWhatAPersonHasToMendIsPermanent(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		ErrNotFound: true, ErrDenied: true, ErrNoBucket: true, ErrFull: true, ErrKey: true, ErrTooLarge: true,
		errVerify: false, context.DeadlineExceeded: false, errors.New("any other"): false,
	} {
		if got := Permanent(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("Permanent(%v) = %t", err, got)
		}
	}
}
