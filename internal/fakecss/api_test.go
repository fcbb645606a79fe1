package fakecss

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/livestream-operator/livestream-operator/internal/cssapi"
	"github.com/livestream-operator/livestream-operator/internal/cssapi/csstest"
	"github.com/livestream-operator/livestream-operator/internal/provider"
)

func TestTheAPIFollowsWhatIsOnAir(t *testing.T) {
	t.Parallel()
	credentials := cssapi.Credentials{SecretID: "id", SecretKey: "key"}
	api := csstest.New(credentials)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	client, err := cssapi.New(server.URL, credentials)
	if err != nil {
		t.Fatal(err)
	}
	r := newReceiver(t)
	// The API tells the truth though no callback arrives.
	b := newBench(t, Options{Callback: r.url, API: api, Feeds: map[string]string{"backup": "live"}, Chaos: Chaos{Lose: 1}})
	look := func(wantState cssapi.State, wantPushes int) {
		t.Helper()
		state, stateErr := client.StreamState(t.Context(), "push.example.com", "live", "show")
		online, listErr := client.OnlineStreams(t.Context(), "push.example.com")
		pushes := 0
		for _, s := range online {
			pushes += len(s.PublishTimes)
		}
		if err := errors.Join(stateErr, listErr); err != nil || state != wantState || pushes != wantPushes {
			t.Errorf("the state is %s with %d pushes, %v, want %s with %d", state, pushes, err, wantState, wantPushes)
		}
	}
	look(cssapi.Inactive, 0)
	b.ingest("publish", "live", "show", "1", "&type=live")
	look(cssapi.Active, 1)
	b.ingest("publish", "backup", "show", "2", "&type=live")
	look(cssapi.Active, 2)
	b.ingest("publish_done", "live", "show", "1", "")
	look(cssapi.Active, 1)
	b.ingest("publish_done", "backup", "show", "2", "")
	look(cssapi.Inactive, 0)
	for _, record := range b.tries(4) {
		if !record.Lost {
			t.Errorf("%+v is not lost", record)
		}
	}
	if got := strings.Count(b.log(), " lost\n"); got != 4 || len(r.events()) != 0 {
		t.Errorf("%d callbacks are lost, %d came:\n%s", got, len(r.events()), b.log())
	}
}

func TestWithoutACallbackURLTheRulesOfTheAPIDecide(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	api := csstest.New(cssapi.Credentials{SecretID: "id", SecretKey: "key"})
	b := newBench(t, Options{API: api})
	b.ingest("publish", "live", "unbound", "1", "&type=live")
	if records := b.tries(1); !errors.Is(records[0].Err, ErrNotBound) {
		t.Errorf("a callback with nowhere to go: %v", records[0].Err)
	}
	id := api.PutTemplate(csstest.Template{TemplateName: "a", StreamBeginNotifyURL: r.url + "/begin", StreamEndNotifyURL: r.url + "/end", CallbackKey: callbackKey})
	api.PutRule(csstest.Rule{TemplateID: id, DomainName: "Push.Example.com", AppName: "live"})
	b.ingest("publish", "live", "bound", "2", "&type=live")
	b.tries(2)
	b.ingest("publish_done", "live", "bound", "2", "")
	b.tries(3)
	// The receiver has checked the signature, which is by the template's key.
	events := r.events()
	if len(events) != 2 || events[0].Stream != "bound" || events[1].Kind != provider.Interrupted {
		t.Errorf("%d callbacks came", len(events))
	}
}
