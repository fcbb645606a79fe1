package webhook

import (
	"net/http"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"github.com/livestream-operator/livestream-operator/internal/css"
)

func TestACallbackIsRefusedWhileTheClockIsFartherOffThanItMay(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, row := range []struct {
		off  time.Duration
		want int
	}{
		{-61 * time.Second, http.StatusUnauthorized},
		{-59 * time.Second, http.StatusOK},
		{11*time.Minute - time.Second, http.StatusOK},
		{11*time.Minute + time.Second, http.StatusUnauthorized},
	} {
		d.clock.(*testclock.FakePassiveClock).SetTime(showTime.Add(row.off))
		status, _, err := css.Post(t.Context(), d.url+d.path(), d.push("a").Start(showTime).Signed(callbackKey, showTime))
		if err != nil || status != row.want {
			t.Errorf("with a clock that is off by %s it is answered %d, %v, want %d", row.off, status, err, row.want)
		}
	}
}
