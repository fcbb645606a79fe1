// Command css is Tencent Cloud CSS for a laptop: it stands behind nginx with the RTMP module, sends push callbacks to the operator and
// answers its API. Package fakecss tells what it does as CSS does, and what it does not.
//
//	go run ./hack/css --print-nginx-config --nginx-dir /tmp/css > /tmp/css.conf && nginx -c /tmp/css.conf -p /tmp/css
//	go run ./hack/css --callback http://127.0.0.1:8090/callbacks/default/shows --key KEY --domain push.example.com
//	ffmpeg -re -f lavfi -i testsrc=size=640x360:rate=25 -c:v libx264 -g 25 -f flv rtmp://127.0.0.1:1935/live/show
//	curl -X POST 'http://127.0.0.1:1985/control/next?errcode=12'
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/cssapi"
	"github.com/livestream-operator/livestream-operator/internal/cssapi/csstest"
	"github.com/livestream-operator/livestream-operator/internal/fakecss"
)

// settings are the flags.
type settings struct {
	options     fakecss.Options
	nginx       fakecss.Nginx
	listen      string
	apiListen   string
	credentials cssapi.Credentials
	print       bool
	errorCode   int
}

func main() {
	s, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil && s.print {
		fmt.Print(s.nginx)
		return
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = run(ctx, s)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "css:", err)
		os.Exit(1)
	}
}

func parse(arguments []string) (*settings, error) {
	s := &settings{credentials: cssapi.Credentials{SecretKey: os.Getenv("CSS_API_SECRET_KEY")}}
	feeds := pairs{}
	f := flag.NewFlagSet("css", flag.ContinueOnError)
	o, c := &s.options, &s.options.Chaos
	f.StringVar(&s.listen, "listen", "127.0.0.1:1985", "where nginx posts to, and /control is")
	f.StringVar(&o.Callback, "callback", "", "URL of callbacks: the operator's address and status.callbackPath of the PushDomain; when empty, what the API's rules and templates say")
	f.StringVar(&o.Key, "key", os.Getenv("CALLBACK_KEY"), "callback key; CALLBACK_KEY when not given; unsigned when empty")
	f.StringVar(&o.Domain, "domain", "", "push domain (required)")
	f.Int64Var(&o.AppID, "appid", 0, "account; 12345678 when 0")
	f.StringVar(&o.Node, "node", "", "address of the ingest node; 192.0.2.10 when empty")
	f.IntVar(&o.SetID, "set-id", 0, "1 to 6 for a node inside mainland China, 7 to 200 outside; 2 when 0")
	f.Var(feeds, "feed", "`FROM=APP`: publishers of the ingest's application FROM, or of SERVER/FROM, feed CSS's application APP; may be repeated")
	f.StringVar((*string)(&o.Second), "second", string(fakecss.Standby), "what becomes of a second pusher on a name: standby, replace (the first ends with errcode 21) or refuse (it ends with 18)")
	f.IntVar(&s.errorCode, "errcode", 1, "how pushes end: 1 is a client that stopped, 12 the network; POST /control/next?errcode= is for the next one alone")
	f.DurationVar(&o.Resume, "resume", 0, "how long a push that the network dropped (12 to 17) may be away without an event; 70s for CSS, 0 is not at all")
	f.DurationVar(&o.SilentAfter, "silent-after", 0, "end a push when nginx posts no updates for so long, as after its crash; 0 is never")
	f.DurationVar(&o.RetryEvery, "retry-every", 0, "time between tries; a minute when 0")
	f.IntVar(&o.Retries, "retries", 0, "how often a callback is tried again; 12 when 0")
	f.DurationVar(&o.Timeout, "timeout", 0, "how long an answer may take; 20s when 0")
	f.Float64Var(&c.Lose, "lose", 0, "share of callbacks that never arrive, 0 to 1")
	f.Float64Var(&c.Double, "double", 0, "share of callbacks that come twice, 0 to 1")
	f.Var((*rate)(&c.Reorder), "reorder", "share of callbacks that the next one of their stream overtakes, --reorder=0.3; all when no number is given")
	f.DurationVar(&c.Delay, "delay", 0, "how long a callback is delayed at most")
	f.Uint64Var(&c.Seed, "seed", 1, "which callbacks are lost, doubled, delayed and reordered")
	f.StringVar(&s.apiListen, "api-listen", "", "where CSS's API answers; nowhere when empty")
	f.StringVar(&s.credentials.SecretID, "api-secret-id", "", "SecretId that the API takes; its SecretKey is in CSS_API_SECRET_KEY")
	f.BoolVar(&s.print, "print-nginx-config", false, "print an nginx.conf for the addresses below, and end")
	f.StringVar(&s.nginx.Dir, "nginx-dir", filepath.Join(os.TempDir(), "css"), "directory of the nginx.conf: it takes all that nginx writes, and has to exist")
	f.StringVar(&s.nginx.Module, "nginx-module", "", "path of ngx_rtmp_module.so; Debian's when empty")
	f.StringVar(&s.nginx.Publish, "publish", "127.0.0.1:1935", "where publishers connect")
	f.StringVar(&s.nginx.Play, "play", "127.0.0.1:1936", "where RTMP players connect; the played push is relayed there. Empty: players are at the ingest, and nothing takes over")
	f.StringVar(&s.nginx.HTTP, "http", "127.0.0.1:8088", "where HLS and nginx's control are")
	if err := f.Parse(arguments); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("%q is no flag; a flag of yes or no takes its value by =", f.Arg(0))
	}
	return s, s.complete(feeds)
}

func (s *settings) complete(feeds pairs) error {
	s.options.ErrorCode = int32(s.errorCode) //nolint:gosec // a small code
	s.options.Log = func(line string) { fmt.Println(line) }
	s.nginx.Feeds, s.nginx.Hook = feeds, "http://"+s.listen+"/ingest"
	if os.Geteuid() == 0 {
		// Without, its worker would be one who may not write into the directory.
		s.nginx.User = "root"
	}
	s.options.Feeds = feeds
	if s.nginx.Play != "" {
		s.nginx.Apply(&s.options)
	} else if s.print {
		return errors.New("the nginx.conf needs an address for -play")
	}
	if c := s.options.Chaos; min(c.Lose, c.Double, c.Reorder) < 0 || max(c.Lose, c.Double, c.Reorder) > 1 {
		return errors.New("rates are from 0 to 1")
	}
	if s.apiListen == "" {
		return nil
	}
	if s.credentials.SecretID == "" || s.credentials.SecretKey == "" {
		return errors.New("the API needs -api-secret-id and CSS_API_SECRET_KEY")
	}
	s.options.API = csstest.New(s.credentials)
	return nil
}

func run(ctx context.Context, s *settings) error {
	server, err := fakecss.New(s.options)
	if err != nil {
		return err
	}
	defer server.Close()
	failed := make(chan error, 2)
	serve := func(address string, handler http.Handler) error {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("listening: %w", err)
		}
		h := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
		go func() { failed <- h.Serve(listener) }()
		context.AfterFunc(ctx, func() { _ = h.Close() })
		return nil
	}
	if err := serve(s.listen, server.Handler()); err != nil {
		return err
	}
	fmt.Printf("nginx posts to %s\n", s.nginx.Hook)
	if s.options.API != nil {
		if err := serve(s.apiListen, s.options.API); err != nil {
			return err
		}
		fmt.Printf("the API is at http://%s\n", s.apiListen)
	}
	select {
	case err = <-failed:
	case <-ctx.Done():
		return nil
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serving: %w", err)
}

// pairs is a flag of A=B, to be repeated.
type pairs map[string]string

// String implements flag.Value.
func (pairs) String() string { return "" }

// Set implements flag.Value.
func (p pairs) Set(text string) error {
	from, to, is := strings.Cut(text, "=")
	if !is || from == "" || to == "" {
		return errors.New("it is written FROM=APP")
	}
	p[from] = to
	return nil
}

// rate is a flag that may stand alone.
type rate float64

// String implements flag.Value.
func (r *rate) String() string { return "0" }

// IsBoolFlag lets the flag stand alone.
func (r *rate) IsBoolFlag() bool { return true }

// Set implements flag.Value.
func (r *rate) Set(text string) error {
	if text == "true" {
		text = "1"
	}
	value, err := strconv.ParseFloat(text, 64)
	*r = rate(value)
	return err
}
