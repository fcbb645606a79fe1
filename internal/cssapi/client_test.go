package cssapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	testclock "k8s.io/utils/clock/testing"

	"github.com/livestream-operator/livestream-operator/internal/cssapi"
	"github.com/livestream-operator/livestream-operator/internal/cssapi/csstest"
)

const (
	domain      = "push.example.com"
	callbackKey = "CallbackKeyNobodyMaySee"
)

var (
	credentials = cssapi.Credentials{SecretID: "AKIDnobodyMaySee", SecretKey: "SecretKeyNobodyMaySee"}
	temporary   = cssapi.Credentials{SecretID: "AKIDnobodyMaySee", SecretKey: "SecretKeyNobodyMaySee", Token: "TokenNobodyMaySee"}
	began       = time.Date(2026, 1, 2, 20, 0, 0, 0, time.UTC)
)

func newClient(t *testing.T, server *csstest.Server, c cssapi.Credentials) *cssapi.Client {
	t.Helper()
	client, err := cssapi.New(server.Endpoint(), c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func setUp(t *testing.T) (*csstest.Server, *cssapi.Client) {
	t.Helper()
	server := csstest.NewServer(t, credentials)
	return server, newClient(t, server, credentials)
}

func TestAStreamIsActiveInactiveOrForbidden(t *testing.T) {
	t.Parallel()
	server, client := setUp(t)
	server.SetOnline(domain, "live", "on", began)
	server.SetOnline(domain, "live", "forbidden", began)
	server.Forbid(domain, "live", "forbidden")
	got := map[string]cssapi.State{}
	for _, stream := range []string{"on", "off", "forbidden"} {
		state, err := client.StreamState(t.Context(), "Push.Example.com", "live", stream)
		if err != nil {
			t.Fatal(err)
		}
		got[stream] = state
	}
	want := map[string]cssapi.State{"on": cssapi.Active, "off": cssapi.Inactive, "forbidden": cssapi.Forbidden}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("states mismatch (-want +got):\n%s", diff)
	}
}

func TestAStateThatNobodyKnowsIsAnError(t *testing.T) {
	t.Parallel()
	server, client := setUp(t)
	server.Fail(csstest.StreamState, 1, csstest.Failure{Body: `{"Response":{"StreamState":"paused","RequestId":"1"}}`})
	if state, err := client.StreamState(t.Context(), domain, "live", "on"); err == nil || !strings.Contains(err.Error(), `"paused"`) {
		t.Errorf("StreamState() = %q, %v, want an error that names the state", state, err)
	}
}

func TestAListOf250StreamsIsReadPageByPage(t *testing.T) {
	t.Parallel()
	server, client := setUp(t)
	want := map[string]bool{}
	for i := range 250 {
		name := fmt.Sprintf("show-%03d", i)
		want[name] = true
		server.SetOnline(domain, "live", name, began)
	}
	server.SetOnline("other.example.com", "live", "not-ours", began)
	streams, err := client.OnlineStreams(t.Context(), domain)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, s := range streams {
		got[s.Stream] = true
	}
	if diff := gocmp.Diff(want, got); diff != "" || len(streams) != 250 {
		t.Errorf("%d streams, mismatch (-want +got):\n%s", len(streams), diff)
	}
	if calls := server.Calls(csstest.OnlineList); calls != 3 {
		t.Errorf("%d calls, want 3 pages of 100", calls)
	}
}

func TestAListTellsWhenEachPushBegan(t *testing.T) {
	t.Parallel()
	server, client := setUp(t)
	server.SetOnline(domain, "live", "two-pushers", began, began.Add(time.Second))
	server.SetOnline(domain, "live", "without-time")
	got, err := client.OnlineStreams(t.Context(), domain)
	if err != nil {
		t.Fatal(err)
	}
	want := []cssapi.OnlineStream{
		{App: "live", Stream: "two-pushers", PublishTimes: []time.Time{began, began.Add(time.Second)}},
		{App: "live", Stream: "without-time"},
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("list mismatch (-want +got):\n%s", diff)
	}
}

func TestAListOfNothingIsAnAnswer(t *testing.T) {
	t.Parallel()
	server, client := setUp(t)
	if got, err := client.OnlineStreams(t.Context(), domain); err != nil || len(got) != 0 {
		t.Errorf("OnlineStreams() = %v, %v, want nothing", got, err)
	}
	if calls := server.Calls(csstest.OnlineList); calls != 1 {
		t.Errorf("%d calls, want 1", calls)
	}
}

func TestAListThatIsNotCompleteIsAnError(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, first, second, want string }{
		{"without a total", `{"Response":{"OnlineInfo":[]}}`, "", "TotalNum"},
		{"with a page that is empty", `{"Response":{"OnlineInfo":[{"StreamName":"a","AppName":"live"}],"TotalNum":201,"TotalPage":3}}`, `{"Response":{"OnlineInfo":[],"TotalNum":201,"TotalPage":3}}`, "page 2"},
		{"with a page that fails", `{"Response":{"OnlineInfo":[{"StreamName":"a","AppName":"live"}],"TotalNum":101,"TotalPage":2}}`, `{"Response":{"Error":{"Code":"InternalError","Message":"no"}}}`, "InternalError"},
		{"of another shape", `{"Response":{"OnlineInfo":{},"TotalNum":0}}`, "", "decoding"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server, client := setUp(t)
			server.Fail(csstest.OnlineList, 1, csstest.Failure{Body: tc.first})
			got, err := client.OnlineStreams(pagedBy(t, server, tc.second), domain)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("OnlineStreams() = %v, %v, want an error with %q", got, err, tc.want)
			}
		})
	}
}

// pagedBy lets the server fail its second call, once the first was counted.
func pagedBy(t *testing.T, server *csstest.Server, second string) context.Context {
	t.Helper()
	if second != "" {
		server.Then(csstest.OnlineList, 1, csstest.Failure{Body: second})
	}
	return t.Context()
}

func TestTemplatesAndRulesAreMadeChangedAndListed(t *testing.T) {
	t.Parallel()
	server, client := setUp(t)
	template := cssapi.Template{
		Name: "livestream-1", Description: "made-by-a-test", CallbackKey: callbackKey,
		StreamBeginNotifyURL: "https://hooks.example.com/begin", StreamEndNotifyURL: "https://hooks.example.com/end",
	}
	id, err := client.CreateTemplate(t.Context(), template)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.CreateRule(t.Context(), cssapi.Rule{TemplateID: id, Domain: domain, App: "live"}); err != nil {
		t.Fatal(err)
	}
	template.ID, template.CallbackKey = id, "another"
	if err := client.ModifyTemplate(t.Context(), template); err != nil {
		t.Fatal(err)
	}
	templates, err := client.Templates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]cssapi.Template{template}, templates); diff != "" {
		t.Errorf("templates mismatch (-want +got):\n%s", diff)
	}
	rules, err := client.Rules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]cssapi.Rule{{TemplateID: id, Domain: domain, App: "live"}}, rules); diff != "" {
		t.Errorf("rules mismatch (-want +got):\n%s", diff)
	}
	want := []csstest.Template{{
		TemplateID: id, TemplateName: "livestream-1", Description: "made-by-a-test", CallbackKey: "another",
		StreamBeginNotifyURL: "https://hooks.example.com/begin", StreamEndNotifyURL: "https://hooks.example.com/end",
	}}
	if diff := gocmp.Diff(want, server.Templates()); diff != "" {
		t.Errorf("what CSS has mismatch (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]csstest.Rule{{TemplateID: id, DomainName: domain, AppName: "live"}}, server.Rules(), cmpopts.IgnoreFields(csstest.Rule{}, "CreateTime", "UpdateTime")); diff != "" {
		t.Errorf("what CSS has mismatch (-want +got):\n%s", diff)
	}
}

func TestATemplateThatDoesNotExistIsNotFound(t *testing.T) {
	t.Parallel()
	_, client := setUp(t)
	if err := client.CreateRule(t.Context(), cssapi.Rule{TemplateID: 1, Domain: domain, App: "live"}); !errors.Is(err, cssapi.ErrNotFound) {
		t.Errorf("CreateRule() = %v, want ErrNotFound", err)
	}
	if err := client.ModifyTemplate(t.Context(), cssapi.Template{ID: 1, Name: "none"}); !errors.Is(err, cssapi.ErrNotFound) {
		t.Errorf("ModifyTemplate() = %v, want ErrNotFound", err)
	}
}

func TestCredentialsThatAreWrongAreRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		given cssapi.Credentials
		code  string
	}{
		{"another ID", cssapi.Credentials{SecretID: "AKIDanother", SecretKey: temporary.SecretKey, Token: temporary.Token}, "AuthFailure.SecretIdNotFound"},
		{"another key", cssapi.Credentials{SecretID: temporary.SecretID, SecretKey: "another", Token: temporary.Token}, "AuthFailure.SignatureFailure"},
		{"another token", cssapi.Credentials{SecretID: temporary.SecretID, SecretKey: temporary.SecretKey, Token: "another"}, "AuthFailure.TokenFailure"},
		{"no token", credentials, "AuthFailure.TokenFailure"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := csstest.NewServer(t, temporary)
			_, err := newClient(t, server, tc.given).StreamState(t.Context(), domain, "live", "on")
			said, is := errors.AsType[*cssapi.Error](err)
			if !errors.Is(err, cssapi.ErrAuth) || !is || said.Code != tc.code || said.RequestID == "" {
				t.Errorf("StreamState() = %v, want ErrAuth with %s and the ID of the request", err, tc.code)
			}
			for _, secret := range []string{tc.given.SecretKey, temporary.SecretKey, temporary.Token} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error tells a secret: %v", err)
				}
			}
		})
	}
}

func TestTemporaryCredentialsWorkWithTheirToken(t *testing.T) {
	t.Parallel()
	server := csstest.NewServer(t, temporary)
	if _, err := newClient(t, server, temporary).StreamState(t.Context(), domain, "live", "on"); err != nil {
		t.Error(err)
	}
}

func TestAClockThatIsWrongIsRefused(t *testing.T) {
	t.Parallel()
	server, client := setUp(t)
	server.SetClock(testclock.NewFakePassiveClock(time.Now().Add(6 * time.Minute)))
	if _, err := client.StreamState(t.Context(), domain, "live", "on"); !errors.Is(err, cssapi.ErrAuth) {
		t.Errorf("StreamState() = %v, want ErrAuth", err)
	}
}

func TestErrorsHaveTheirClass(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		how  csstest.Failure
		want error
	}{
		{"too many requests", csstest.RateLimited, cssapi.ErrRateLimited},
		{"too many requests of the account", csstest.Failure{Code: "RequestLimitExceeded.UinLimitExceeded", Message: "slow"}, cssapi.ErrRateLimited},
		{"a right that is lacking", csstest.Unauthorized, cssapi.ErrAuth},
		{"a right that CAM denies", csstest.Failure{Code: "AuthFailure.UnauthorizedOperation", Message: "no"}, cssapi.ErrAuth},
		{"something that is not there", csstest.Failure{Code: "ResourceNotFound.Domain", Message: "no"}, cssapi.ErrNotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server, client := setUp(t)
			server.Fail(csstest.StreamState, 1, tc.how)
			_, err := client.StreamState(t.Context(), domain, "live", "on")
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.how.Code) {
				t.Errorf("StreamState() = %v, want %v with %s", err, tc.want, tc.how.Code)
			}
			if _, err := client.StreamState(t.Context(), domain, "live", "on"); err != nil {
				t.Errorf("the next call fails too: %v", err)
			}
		})
	}
}

func TestMoreCallsThanAllowedInASecondAreRateLimited(t *testing.T) {
	t.Parallel()
	server, client := setUp(t)
	server.SetClock(testclock.NewFakePassiveClock(time.Now()))
	server.Limit(csstest.StreamState, 2)
	var limited int
	for range 3 {
		if _, err := client.StreamState(t.Context(), domain, "live", "on"); errors.Is(err, cssapi.ErrRateLimited) {
			limited++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if limited != 1 {
		t.Errorf("%d of 3 calls were limited, want 1", limited)
	}
}

func TestAnAnswerThatIsNoneIsAnErrorWithoutAClass(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]csstest.Failure{
		"an error within HTTP 200": csstest.InternalError,
		"HTTP 500":                 csstest.InternalServerError,
		"broken JSON":              csstest.BrokenJSON,
		"a page of a proxy":        {Status: http.StatusBadGateway, Body: "<html>" + strings.Repeat("bad gateway ", 10000)},
		"an empty object":          {Body: "{}"},
		"an empty body":            {Status: http.StatusOK, Body: " "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, client := setUp(t)
			server.Fail(csstest.StreamState, csstest.Always, how)
			state, err := client.StreamState(t.Context(), domain, "live", "on")
			if err == nil {
				t.Fatalf("StreamState() = %q, want an error", state)
			}
			if errors.Is(err, cssapi.ErrAuth) || errors.Is(err, cssapi.ErrRateLimited) || errors.Is(err, cssapi.ErrNotFound) || len(err.Error()) > 600 {
				t.Errorf("StreamState() = %.700v, want a short error without a class", err)
			}
		})
	}
}

func TestAnAPIThatHangsIsLeftWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	server, client := setUp(t)
	server.Fail(csstest.StreamState, csstest.Always, csstest.Hang)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	before := time.Now()
	_, err := client.StreamState(ctx, domain, "live", "on")
	if took := time.Since(before); !errors.Is(err, context.DeadlineExceeded) || took > 5*time.Second {
		t.Errorf("StreamState() = %v after %s, want the context's end", err, took)
	}
}

func TestAnEndpointIsAHost(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"", "http://", "https://", "https://live.example.com/path", "live.example.com/"} {
		if _, err := cssapi.New(endpoint, credentials); err == nil {
			t.Errorf("New(%q) takes it", endpoint)
		}
	}
	for _, endpoint := range []string{"live.tencentcloudapi.com", "https://live.example.com", "http://127.0.0.1:80"} {
		if _, err := cssapi.New(endpoint, credentials); err != nil {
			t.Errorf("New(%q) = %v", endpoint, err)
		}
	}
}

func TestNoSecretIsPrinted(t *testing.T) {
	t.Parallel()
	template := cssapi.Template{ID: 1, Name: "livestream-1", CallbackKey: callbackKey}
	var text strings.Builder
	logger := slog.New(slog.NewTextHandler(&text, nil))
	logger.Info("text", "credentials", temporary, "template", template, "pointer", &template)
	slog.New(slog.NewJSONHandler(&text, nil)).Info("json", "credentials", temporary)
	type holder struct {
		Credentials cssapi.Credentials
		Template    *cssapi.Template
		Templates   []cssapi.Template
	}
	for _, v := range []any{temporary, &temporary, template, &template, []cssapi.Template{template}, holder{temporary, &template, []cssapi.Template{template}}, fmt.Errorf("with %v %+v", temporary, template)} {
		fmt.Fprintf(&text, "%v\n%+v\n%#v\n%s\n%q\n", v, v, v, v, v)
	}
	for _, secret := range []string{temporary.SecretID, temporary.SecretKey, temporary.Token, callbackKey} {
		if at := strings.Index(text.String(), secret); at >= 0 {
			t.Errorf("%q is printed: ...%s", secret, text.String()[max(0, at-60):at+len(secret)])
		}
	}
}

func TestNoErrorTellsTheCredentials(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]csstest.Failure{
		"HTTP 500": csstest.InternalServerError, "broken JSON": csstest.BrokenJSON, "refused": csstest.Unauthorized, "hang": csstest.Hang,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := csstest.NewServer(t, temporary)
			client := newClient(t, server, temporary)
			for _, action := range []string{csstest.CreateTemplate, csstest.StreamState} {
				server.Fail(action, csstest.Always, how)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_, making := client.CreateTemplate(ctx, cssapi.Template{Name: "livestream-1", CallbackKey: callbackKey})
			_, asking := client.StreamState(ctx, domain, "live", "on")
			text := fmt.Sprintf("%v %+v %v %+v", making, making, asking, asking)
			for _, secret := range []string{temporary.SecretID, temporary.SecretKey, temporary.Token, callbackKey} {
				if making == nil || asking == nil || strings.Contains(text, secret) {
					t.Errorf("errors = %s, want no %q", text, secret)
				}
			}
		})
	}
}

// What the tests say about the server's own strictness, so that a client's misspelling cannot pass.
func TestTheServerTellsUpperFromLowerCase(t *testing.T) {
	t.Parallel()
	server, client := setUp(t)
	if _, err := client.CreateTemplate(t.Context(), cssapi.Template{Name: "livestream-1", StreamBeginNotifyURL: "https://hooks.example.com/begin"}); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(server.Templates())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{`"TemplateId"`, `"StreamBeginNotifyUrl"`, `"StreamEndNotifyUrl"`, `"CallbackKey"`} {
		if !strings.Contains(string(text), key) {
			t.Errorf("templates are told without %s", key)
		}
	}
}
