// Package cssapi asks the API of Tencent Cloud CSS (live, version 2018-08-01) which streams are on air, and sets up callbacks there.
//
// Source: https://cloud.tencent.com/document/product/267/20456 (overview; the pages of the actions are named with them).
package cssapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	sdkerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	"golang.org/x/time/rate"
)

const (
	service = "live"
	version = "2018-08-01"

	// requestTimeout in seconds, of one request.
	requestTimeout = 10

	// The vendor's limits are 300 requests a second for the state of a stream, 80 for the list and 200 for callbacks, for the
	// account and all that uses it. We stay well below.
	stateRate, stateBurst = 100, 100
	listRate, listBurst   = 20, 5
	setupRate, setupBurst = 5, 5
)

// Credentials of an account; Token only with temporary ones. They print as nothing.
type Credentials struct {
	SecretID, SecretKey, Token string
}

// String hides the credentials.
func (Credentials) String() string { return "(credentials)" }

// GoString hides the credentials.
func (Credentials) GoString() string { return "(credentials)" }

// LogValue hides the credentials.
func (Credentials) LogValue() slog.Value { return slog.StringValue("(credentials)") }

// Client calls the API for one account. It is safe for concurrent use; its rate limits are shared by all who use it.
type Client struct {
	sdk                *common.Client
	state, list, setup *rate.Limiter
}

// New is a client of the endpoint: a host, to which http:// may be put for a test or a proxy; https is used otherwise.
func New(endpoint string, credentials Credentials) (*Client, error) {
	host, scheme := endpoint, "HTTPS"
	if rest, plain := strings.CutPrefix(endpoint, "http://"); plain {
		host, scheme = rest, "HTTP"
	}
	host = strings.TrimPrefix(host, "https://")
	if host == "" || strings.Contains(host, "/") {
		return nil, fmt.Errorf("endpoint %q must be a host such as live.tencentcloudapi.com", endpoint)
	}
	p := profile.NewClientProfile()
	p.HttpProfile.Endpoint, p.HttpProfile.Scheme, p.HttpProfile.ReqTimeout = host, scheme, requestTimeout
	p.Language = "en-US"
	var credential common.CredentialIface = common.NewCredential(credentials.SecretID, credentials.SecretKey)
	if credentials.Token != "" {
		credential = common.NewTokenCredential(credentials.SecretID, credentials.SecretKey, credentials.Token)
	}
	return &Client{
		sdk:   common.NewCommonClient(credential, "", p).WithHttpTransport(newTransport()),
		state: rate.NewLimiter(stateRate, stateBurst), list: rate.NewLimiter(listRate, listBurst), setup: rate.NewLimiter(setupRate, setupBurst),
	}, nil
}

var (
	// ErrAuth means that the credentials are wrong or lack a right.
	ErrAuth = errors.New("CSS refuses the credentials; check the Secret that spec.api.credentialsSecretRef names, and the rights of its key")
	// ErrRateLimited means that the account asks too often.
	ErrRateLimited = errors.New("CSS is asked too often")
	// ErrNotFound means that what the request names does not exist.
	ErrNotFound = errors.New("CSS does not have it")
)

// Error is an answer that says no.
type Error struct {
	Code, Message, RequestID string
	class                    error
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s", e.Code, e.Message)
	if e.class != nil {
		text = e.class.Error() + " (" + text + ")"
	}
	return text
}

// Unwrap is ErrAuth, ErrRateLimited, ErrNotFound or nil.
func (e *Error) Unwrap() error { return e.class }

// Unanswered says whether the error is that nothing came, or nothing of CSS's: a network that swallows, a time that was over, a proxy's page.
func Unanswered(err error) bool {
	e, is := errors.AsType[*Error](err)
	return is && strings.HasPrefix(e.Code, "ClientError.")
}

var classes = []struct {
	prefix string
	class  error
}{
	{"AuthFailure", ErrAuth}, {"UnauthorizedOperation", ErrAuth}, {"InvalidCredential", ErrAuth},
	{"RequestLimitExceeded", ErrRateLimited}, {"LimitExceeded", ErrRateLimited},
	{"ResourceNotFound", ErrNotFound},
}

// longestMessage bounds what is repeated of an answer, in bytes: it may be a whole page of a proxy.
const longestMessage = 300

func classify(err error) error {
	said, is := errors.AsType[*sdkerrors.TencentCloudSDKError](err)
	if !is {
		return err
	}
	e := &Error{Code: said.Code, Message: said.Message, RequestID: said.RequestId}
	switch e.Code {
	// These repeat the whole answer, which may hold callback keys.
	case "ClientError.ParseJsonError":
		e.Message = "the answer is no JSON that can be understood"
	case "ClientError.HttpStatusCodeError":
		e.Message, _, _ = strings.Cut(e.Message, ", with body")
	}
	if len(e.Message) > longestMessage {
		e.Message = strings.ToValidUTF8(e.Message[:longestMessage], "") + "..."
	}
	for _, c := range classes {
		if e.Code == c.prefix || strings.HasPrefix(e.Code, c.prefix+".") {
			e.class = c.class
		}
	}
	if cause := errors.Unwrap(said); cause != nil && e.class == nil {
		e.class = cause
	}
	return e
}

// send is Send of the SDK, which dereferences nil when the answer is "null" (v1.3.210).
func (c *Client) send(request tchttp.Request, response tchttp.Response) (err error) {
	defer func() {
		// What it panics with may repeat the answer.
		if recover() != nil {
			err = errors.New("the SDK cannot read the answer; check that spec.api.endpoint is CSS's API")
		}
	}()
	return c.sdk.Send(request, response)
}

// call asks for an action; fields are what its answer has in any case.
func (c *Client) call(ctx context.Context, limiter *rate.Limiter, action string, parameters map[string]any, answer any, fields ...string) error {
	if err := limiter.Wait(ctx); err != nil {
		return fmt.Errorf("waiting to ask CSS for %s: %w", action, err)
	}
	request := tchttp.NewCommonRequest(service, version, action)
	request.SetContext(ctx)
	if err := request.SetActionParameters(parameters); err != nil {
		return fmt.Errorf("encoding %s: %w", action, err)
	}
	response := tchttp.NewCommonResponse()
	if err := c.send(request, response); err != nil {
		return fmt.Errorf("asking CSS for %s: %w", action, classify(err))
	}
	// JSON of something that is not CSS would be an empty list, or a success.
	var said struct{ Response map[string]json.RawMessage }
	if err := json.Unmarshal(response.GetBody(), &said); err != nil {
		return fmt.Errorf("decoding the answer to %s: %w", action, err)
	}
	if len(said.Response) == 0 {
		return fmt.Errorf("the answer to %s is empty; check that spec.api.endpoint is CSS's API", action)
	}
	for _, field := range fields {
		if _, there := said.Response[field]; !there {
			return fmt.Errorf("CSS answers %s without %s", action, field)
		}
	}
	envelope := struct{ Response any }{answer}
	if err := json.Unmarshal(response.GetBody(), &envelope); err != nil {
		return fmt.Errorf("decoding the answer to %s: %w", action, err)
	}
	return nil
}

// State of a stream.
type State string

const (
	// Active means: the stream is on air.
	Active State = "active"
	// Inactive means: it is not.
	Inactive State = "inactive"
	// Forbidden means: it is not, and may not be.
	Forbidden State = "forbid"
)

// StreamState asks whether a stream is on air. Source: https://cloud.tencent.com/document/product/267/20470.
func (c *Client) StreamState(ctx context.Context, domain, app, stream string) (State, error) {
	var answer struct{ StreamState State }
	parameters := map[string]any{"DomainName": domain, "AppName": app, "StreamName": stream}
	if err := c.call(ctx, c.state, "DescribeLiveStreamState", parameters, &answer); err != nil {
		return "", err
	}
	switch answer.StreamState {
	case Active, Inactive, Forbidden:
		return answer.StreamState, nil
	default:
		return "", fmt.Errorf("CSS answers DescribeLiveStreamState with the unknown state %q", answer.StreamState)
	}
}

// OnlineStream is a stream that is on air.
type OnlineStream struct {
	App, Stream string
	// PublishTimes are when its pushes began; more than one where several pushers hold the name.
	PublishTimes []time.Time
}

const (
	// pageSize is what both the China and the international site take.
	pageSize = 100
	// maxPages bounds a list: CSS itself lists fewer than 20000 streams.
	maxPages = 200
)

// OnlineStreams lists all streams of the push domain that are on air. A list that breaks off is an error; one that moved
// between two pages may lack a stream, so that ask for the stream itself before you believe it is gone.
// Source: https://cloud.tencent.com/document/product/267/20472.
func (c *Client) OnlineStreams(ctx context.Context, domain string) ([]OnlineStream, error) {
	var streams []OnlineStream
	known := map[[2]string]bool{}
	for page := 1; page <= maxPages; page++ {
		var answer struct {
			OnlineInfo []struct {
				StreamName, AppName, DomainName string
				PublishTimeList                 []struct{ PublishTime string }
			}
			TotalNum, TotalPage *int
		}
		parameters := map[string]any{"DomainName": domain, "PageNum": page, "PageSize": pageSize}
		if err := c.call(ctx, c.list, "DescribeLiveStreamOnlineList", parameters, &answer); err != nil {
			return nil, err
		}
		if answer.TotalNum == nil {
			return nil, errors.New("CSS answers DescribeLiveStreamOnlineList without TotalNum: it is not known whether the list is complete")
		}
		for _, s := range answer.OnlineInfo {
			// The list may have moved between two pages.
			if key := [2]string{s.AppName, s.StreamName}; !known[key] && (s.DomainName == "" || strings.EqualFold(s.DomainName, domain)) {
				known[key] = true
				stream := OnlineStream{App: s.AppName, Stream: s.StreamName}
				for _, p := range s.PublishTimeList {
					if at, err := time.Parse(time.RFC3339, p.PublishTime); err == nil {
						stream.PublishTimes = append(stream.PublishTimes, at.UTC())
					}
				}
				streams = append(streams, stream)
			}
		}
		if len(known) >= *answer.TotalNum || page*pageSize >= *answer.TotalNum || answer.TotalPage != nil && page >= *answer.TotalPage {
			return streams, nil
		}
		if len(answer.OnlineInfo) == 0 {
			return nil, fmt.Errorf("page %d of CSS's online list is empty, though there are %d streams", page, *answer.TotalNum)
		}
	}
	return nil, fmt.Errorf("CSS's online list has more than %d pages", maxPages)
}
