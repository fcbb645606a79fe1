// Package css is the sending side of Tencent Cloud CSS push callbacks, for the demonstration, tests and people who set an
// operator up. It builds the bytes that CSS sends, signs them as CSS does, and posts them once.
package css

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/provider/tencent"
)

// VendorSample is the push start that the vendor's document prints, signed with the key "test" and long out of date.
// Source: https://www.tencentcloud.com/document/product/267/38081 (2018 edition).
const VendorSample = `{"app":"test.domain.com","appid":12345678,"appname":"live","channel_id":"test_stream","errcode":0,"errmsg":"ok","event_time":1545115790,"event_type":1,"set_id":2,"node":"100.121.160.92","sequence":"6674468118806626493","stream_id":"test_stream","stream_param":"stream_param=test","user_ip":"119.29.94.245","width":0,"height":0,"sign":"ca3e25e5dc17a6f9909a9ae7281e300d","t":1545030873}`

const (
	// life is how long after sending a callback expires.
	life = 10 * time.Minute
	// patience is how long CSS waits for an answer.
	patience = 20 * time.Second
)

// Push is one publish of a stream.
type Push struct {
	Domain, App, Stream, Sequence string
	AppID                         int64
	ClientIP, Node                string
}

// Callback is one callback, without its signature: that is made anew for every try.
type Callback struct {
	App          string `json:"app"`
	AppID        int64  `json:"appid"`
	AppName      string `json:"appname"`
	ChannelID    string `json:"channel_id"`
	ErrorCode    int32  `json:"errcode"`
	ErrorMessage string `json:"errmsg"`
	EventTime    int64  `json:"event_time"`
	EventType    int    `json:"event_type"`
	Height       int32  `json:"height"`
	IDCID        int    `json:"idc_id"`
	Node         string `json:"node"`
	// PushDuration is in milliseconds, a string, and only there when a push ends.
	PushDuration string `json:"push_duration,omitempty"`
	Sequence     string `json:"sequence"`
	SetID        int    `json:"set_id"`
	Sign         string `json:"sign,omitempty"`
	StreamID     string `json:"stream_id"`
	StreamParam  string `json:"stream_param"`
	T            int64  `json:"t,omitempty"`
	UserIP       string `json:"user_ip"`
	Width        int32  `json:"width"`
}

// Start is the callback of the push's start.
func (p Push) Start(at time.Time) Callback {
	return Callback{
		App: p.Domain, AppID: p.AppID, AppName: p.App, ChannelID: p.Stream, StreamID: p.Stream, Sequence: p.Sequence,
		ErrorMessage: "ok", EventTime: at.Unix(), EventType: 1, IDCID: 34, SetID: 2, Node: p.Node, UserIP: p.ClientIP,
		StreamParam: "stream_param=test",
	}
}

// Interruption is the callback of the push's end.
func (p Push) Interruption(at time.Time, onAir time.Duration, errorCode int32, message string) Callback {
	c := p.Start(at)
	c.EventType, c.ErrorCode, c.ErrorMessage = 0, errorCode, message
	c.PushDuration = strconv.FormatInt(onAir.Milliseconds(), 10)
	return c
}

// WithType is the callback as one of another event_type.
func (c Callback) WithType(eventType int) Callback {
	c.EventType = eventType
	return c
}

// Signed is the body of the callback as it is sent at the given time.
func (c Callback) Signed(key string, sent time.Time) []byte {
	c.T = sent.Add(life).Unix()
	c.Sign = tencent.Sign(key, strconv.FormatInt(c.T, 10))
	return c.Unsigned()
}

// Unsigned is the body of the callback with the signature that it has, if any.
func (c Callback) Unsigned() []byte {
	body, err := json.Marshal(c)
	if err != nil {
		// Strings and numbers only.
		panic(fmt.Sprintf("encoding a callback: %v", err))
	}
	return body
}

// Post sends the body once and returns the answer.
func Post(ctx context.Context, url string, body []byte) (status int, answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, "", fmt.Errorf("preparing a callback to %s: %w", url, err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", fmt.Errorf("sending a callback: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return 0, "", fmt.Errorf("reading the answer to a callback: %w", err)
	}
	return response.StatusCode, string(bytes.TrimSpace(text)), nil
}
