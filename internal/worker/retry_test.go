package worker

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// To join a long show takes longer than there may be left for tries: without its broken parts it is another join.
func TestATryWithoutABrokenPartIsMadeHoweverLateItIs(t *testing.T) {
	t.Parallel()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	away := errors.New("the store is away")
	for name, row := range map[string]struct {
		fails []error
		tries int
		want  error
	}{
		"two parts are left out":        {[]error{fmt.Errorf("part 1 %w", errLeftOut), fmt.Errorf("part 2 %w", errLeftOut)}, 3, nil},
		"what may pass is left at that": {[]error{fmt.Errorf("part 1 %w", errLeftOut), away}, 2, away},
	} {
		tries := 0
		err := retry(over, func() error {
			tries++
			if tries <= len(row.fails) {
				return row.fails[tries-1]
			}
			return nil
		})
		if tries != row.tries || !errors.Is(err, row.want) {
			t.Errorf("%s: %d tries, and %v; want %d, and %v", name, tries, err, row.tries, row.want)
		}
	}
}
