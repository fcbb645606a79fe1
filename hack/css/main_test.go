package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/livestream-operator/livestream-operator/internal/fakecss"
)

func TestFlagsBecomeOptions(t *testing.T) {
	t.Setenv("CALLBACK_KEY", "from-the-environment")
	s, err := parse(strings.Fields("--callback http://127.0.0.1:8090/c --domain push.example.com --lose 0.1 --double 0.2 --delay 3s --reorder --seed 4 " +
		"--feed backup=live --errcode 12 --resume 70s --second replace --play 127.0.0.1:1936 --http 127.0.0.1:8088"))
	if err != nil {
		t.Fatal(err)
	}
	want := fakecss.Options{
		Callback: "http://127.0.0.1:8090/c", Key: "from-the-environment", Domain: "push.example.com", Feeds: map[string]string{"backup": "live"},
		Second: fakecss.Replace, ErrorCode: 12, Resume: 70 * time.Second,
		Chaos: fakecss.Chaos{Seed: 4, Lose: 0.1, Double: 0.2, Reorder: 1, Delay: 3 * time.Second},
		Play:  "rtmp://127.0.0.1:1936", Controls: map[string]string{"": "http://127.0.0.1:8088/control"}, PlayControl: "http://127.0.0.1:8088/control", PlayServer: "1",
	}
	if diff := cmp.Diff(want, s.options, cmpopts.IgnoreFields(fakecss.Options{}, "Log")); diff != "" {
		t.Error(diff)
	}
}

func TestFlagsThatCannotWork(t *testing.T) {
	for _, tc := range []struct{ flags, want string }{
		{"--lose 1.5", "from 0 to 1"},
		{"--reorder=-1", "from 0 to 1"},
		{"--reorder=often", "invalid"},
		{"--reorder 0.5", "no flag"},
		{"--feed backup", "FROM=APP"},
		{"--api-listen 127.0.0.1:0", "CSS_API_SECRET_KEY"},
		{"--print-nginx-config --play=", "-play"},
	} {
		if _, err := parse(strings.Fields(tc.flags)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.flags, err, tc.want)
		}
	}
}

func TestTheHookOfTheConfigurationIsWhereTheProgramListens(t *testing.T) {
	s, err := parse(strings.Fields("--print-nginx-config --listen 127.0.0.1:7777 --nginx-dir /var/tmp/x"))
	if err != nil {
		t.Fatal(err)
	}
	text := s.nginx.String()
	for _, want := range []string{"on_publish http://127.0.0.1:7777/ingest;", "on_publish_done http://127.0.0.1:7777/ingest;", "hls_path /var/tmp/x/hls-live;", "listen 127.0.0.1:1935;"} {
		if !strings.Contains(text, want) {
			t.Errorf("the configuration lacks %q:\n%s", want, text)
		}
	}
}
