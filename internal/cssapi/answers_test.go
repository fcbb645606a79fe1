package cssapi_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/internal/cssapi"
	"github.com/livestream-operator/livestream-operator/internal/cssapi/csstest"
)

// A proxy or a wrong endpoint may answer JSON that says nothing. Taken for an empty list, it would have a template made again and
// again; taken for a success, a rule bound to template 0.
func TestAnAnswerThatSaysNothingIsAnErrorOfEachAction(t *testing.T) {
	t.Parallel()
	template := cssapi.Template{ID: 1, Name: "livestream-1", StreamEndNotifyURL: "https://hooks.example.com/end"}
	for action, call := range map[string]func(*testing.T, *cssapi.Client) error{
		csstest.StreamState: func(t *testing.T, c *cssapi.Client) error {
			t.Helper()
			_, err := c.StreamState(t.Context(), domain, "live", "on")
			return err
		},
		csstest.OnlineList: func(t *testing.T, c *cssapi.Client) error {
			t.Helper()
			_, err := c.OnlineStreams(t.Context(), domain)
			return err
		},
		csstest.ListTemplates: func(t *testing.T, c *cssapi.Client) error { t.Helper(); _, err := c.Templates(t.Context()); return err },
		csstest.ListRules:     func(t *testing.T, c *cssapi.Client) error { t.Helper(); _, err := c.Rules(t.Context()); return err },
		csstest.CreateTemplate: func(t *testing.T, c *cssapi.Client) error {
			t.Helper()
			_, err := c.CreateTemplate(t.Context(), template)
			return err
		},
		csstest.ModifyTemplate: func(t *testing.T, c *cssapi.Client) error { t.Helper(); return c.ModifyTemplate(t.Context(), template) },
		csstest.CreateRule: func(t *testing.T, c *cssapi.Client) error {
			t.Helper()
			return c.CreateRule(t.Context(), cssapi.Rule{TemplateID: 1, Domain: domain, App: "live"})
		},
	} {
		answers := []string{"null", "{}", "[]", `{"Response":null}`, `{"Response":{}}`, `{"response":{}}`, `{"status":"ok"}`}
		if action != csstest.ModifyTemplate && action != csstest.CreateRule {
			// All that these two answer is the ID.
			answers = append(answers, `{"Response":{"RequestId":"1"}}`)
		}
		for _, answer := range answers {
			t.Run(action+" "+answer, func(t *testing.T) {
				t.Parallel()
				server, client := setUp(t)
				server.Fail(action, csstest.Always, csstest.Failure{Body: answer})
				if err := call(t, client); err == nil || !strings.Contains(err.Error(), action) {
					t.Errorf("%s = %v, want an error that names the action", action, err)
				}
			})
		}
	}
}

func TestAnAccountWithoutTemplatesAndRulesHasNone(t *testing.T) {
	t.Parallel()
	for _, list := range []string{"[]", "null"} {
		server, client := setUp(t)
		server.Fail(csstest.ListTemplates, 1, csstest.Failure{Body: `{"Response":{"Templates":` + list + `,"RequestId":"1"}}`})
		server.Fail(csstest.ListRules, 1, csstest.Failure{Body: `{"Response":{"Rules":` + list + `,"RequestId":"1"}}`})
		if templates, err := client.Templates(t.Context()); err != nil || len(templates) != 0 {
			t.Errorf("Templates() of %s = %v, %v, want none", list, templates, err)
		}
		if rules, err := client.Rules(t.Context()); err != nil || len(rules) != 0 {
			t.Errorf("Rules() of %s = %v, %v, want none", list, rules, err)
		}
	}
}

// onlinePage is one page of a list that has the streams from one number up to another.
func onlinePage(from, to, total int) csstest.Failure {
	rows := make([]string, 0, to-from)
	for i := from; i < to; i++ {
		rows = append(rows, fmt.Sprintf(`{"StreamName":"show-%03d","AppName":"live","DomainName":%q}`, i, domain))
	}
	return csstest.Failure{Body: fmt.Sprintf(`{"Response":{"OnlineInfo":[%s],"TotalNum":%d,"TotalPage":%d,"RequestId":"1"}}`, strings.Join(rows, ","), total, (total+99)/100)}
}

func TestAListThatChangesWhileItIsReadNamesNoStreamTwice(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		pages []csstest.Failure
		want  int
	}{
		// show-000 comes after the first page: the last row of that page is the first of the next.
		{"a stream that comes moves the others on", []csstest.Failure{onlinePage(1, 101, 149), onlinePage(100, 150, 150)}, 149},
		// show-000 ends after the first page: show-100 is on no page that is read. Callers ask for the stream itself.
		{"a stream that ends moves the others up", []csstest.Failure{onlinePage(0, 100, 150), onlinePage(101, 150, 149)}, 149},
		{"the last page is not there any more", []csstest.Failure{onlinePage(0, 100, 101), onlinePage(0, 0, 100)}, 100},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server, client := setUp(t)
			for _, page := range tc.pages {
				server.Then(csstest.OnlineList, 1, page)
			}
			streams, err := client.OnlineStreams(t.Context(), domain)
			if err != nil {
				t.Fatal(err)
			}
			named := map[string]int{}
			for _, s := range streams {
				named[s.Stream]++
			}
			if len(named) != tc.want || len(streams) != tc.want || server.Calls(csstest.OnlineList) != len(tc.pages) {
				t.Errorf("%d streams of %d names in %d pages, want %d in %d", len(streams), len(named), server.Calls(csstest.OnlineList), tc.want, len(tc.pages))
			}
		})
	}
}

func TestTheServerHasTheVendorsBoundsOfTemplates(t *testing.T) {
	t.Parallel()
	server, client := setUp(t)
	if id, err := client.CreateTemplate(t.Context(), cssapi.Template{Name: "without-url"}); err == nil {
		t.Errorf("CreateTemplate() without a URL = %d, want an error", id)
	}
	for i := range 50 {
		server.PutTemplate(csstest.Template{TemplateName: fmt.Sprintf("template-%d", i)})
	}
	if id, err := client.CreateTemplate(t.Context(), cssapi.Template{Name: "one-more", StreamBeginNotifyURL: "https://hooks.example.com"}); err == nil {
		t.Errorf("CreateTemplate() after 50 = %d, want an error", id)
	}
	if n := len(server.Templates()); n != 50 {
		t.Errorf("%d templates, want 50", n)
	}
}

func TestTheServerServesWithoutATest(t *testing.T) {
	t.Parallel()
	handler := csstest.New(credentials)
	handler.SetOnline(domain, "live", "on", began)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client, err := cssapi.New(server.URL, credentials)
	if err != nil {
		t.Fatal(err)
	}
	state, err := client.StreamState(t.Context(), domain, "live", "on")
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(cssapi.Active, state); diff != "" {
		t.Errorf("state mismatch (-want +got):\n%s", diff)
	}
}

func TestAnErrorTellsWhetherCSSAnsweredAtAll(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		how        csstest.Failure
		unanswered bool
	}{
		"an error of CSS's":    {csstest.InternalError, false},
		"a limit":              {csstest.RateLimited, false},
		"refused credentials":  {csstest.Unauthorized, false},
		"a state nobody knows": {csstest.Failure{Body: `{"Response":{"StreamState":"paused","RequestId":"1"}}`}, false},
		"a proxy's page":       {csstest.InternalServerError, true},
		"half an answer":       {csstest.BrokenJSON, true},
		"a time that was over": {csstest.Hang, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, client := setUp(t)
			server.Fail(csstest.StreamState, 1, row.how)
			if _, err := client.StreamState(t.Context(), domain, "live", "on"); err == nil || cssapi.Unanswered(err) != row.unanswered {
				t.Errorf("Unanswered() = %t of %v, want %t", cssapi.Unanswered(err), err, row.unanswered)
			}
		})
	}
}
