// Command send-callback sends one signed push callback, as Tencent Cloud CSS would, to try an operator out.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/css"
)

func main() {
	url := flag.String("url", "", "where to: the operator's address and status.callbackPath of the PushDomain (required)")
	key := flag.String("key", os.Getenv("CALLBACK_KEY"), "callback key; CALLBACK_KEY when not given")
	event := flag.String("event", "start", "start or interruption")
	p := css.Push{ClientIP: "119.29.94.245", Node: "100.121.160.92"}
	flag.StringVar(&p.Domain, "domain", "test.domain.com", "push domain")
	flag.StringVar(&p.App, "app", "live", "application")
	flag.StringVar(&p.Stream, "stream", "test_stream", "stream name")
	flag.StringVar(&p.Sequence, "sequence", "6674468118806626493", "which push; its start and its interruption share it")
	flag.Int64Var(&p.AppID, "appid", 12345678, "account")
	errorCode := flag.Int("errcode", 1, "why the push was interrupted; 1: the client stopped, 12: network")
	flag.Parse()

	now := time.Now()
	callback := p.Start(now)
	if *event == "interruption" {
		callback = p.Interruption(now, time.Minute, int32(*errorCode), "sent by hand") //nolint:gosec // a small code
	} else if *event != "start" {
		fmt.Fprintln(os.Stderr, "send-callback: -event is start or interruption")
		os.Exit(2)
	}
	status, answer, err := css.Post(context.Background(), *url, callback.Signed(*key, now))
	if err != nil {
		fmt.Fprintln(os.Stderr, "send-callback:", err)
		os.Exit(1)
	}
	fmt.Println(status, answer)
	if status != 200 {
		os.Exit(1)
	}
}
