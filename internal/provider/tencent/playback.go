package tencent

import (
	"crypto/md5" //nolint:gosec // CSS's signature is MD5
	"encoding/hex"
	"fmt"
	"net/url"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// PlaybackURL is where a stream of the push domain is pulled from, or "" where playback is not set up.
//
// With a key it is signed: txTime is the expiry in upper-case hex Unix seconds, txSecret = MD5(key + stream + txTime), where
// stream has neither application nor suffix. CSS answers 403 to a connect after the expiry; an open pull goes on.
// Source: https://www.tencentcloud.com/document/product/267/31059 and 31060 (2024).
func PlaybackURL(p v1alpha1.Playback, app, stream, key string, expiry time.Time) string {
	if !p.Configured() {
		return ""
	}
	u := url.URL{Scheme: string(p.URLScheme()), Host: p.Domain, Path: "/" + app + "/" + stream}
	switch p.PullProtocol() {
	case v1alpha1.PlaybackProtocolRTMP:
		u.Scheme = "rtmp"
	case v1alpha1.PlaybackProtocolHLS:
		u.Path += ".m3u8"
	case v1alpha1.PlaybackProtocolFLV:
		u.Path += ".flv"
	}
	if key != "" {
		txTime := fmt.Sprintf("%X", expiry.Unix())
		u.RawQuery = "txSecret=" + Secret(key, stream, txTime) + "&txTime=" + txTime
	}
	return u.String()
}

// PushURL is where a stream is pushed to, signed where there is a key, as PlaybackURL is.
// Source: https://www.tencentcloud.com/document/product/267/31059 (2024).
func PushURL(scheme, domain, app, stream, key string, expiry time.Time) string {
	u := url.URL{Scheme: scheme, Host: domain, Path: "/" + app + "/" + stream}
	if key != "" {
		txTime := fmt.Sprintf("%X", expiry.Unix())
		u.RawQuery = "txSecret=" + Secret(key, stream, txTime) + "&txTime=" + txTime
	}
	return u.String()
}

// Secret is the txSecret of a push or playback URL: the lower-case hex MD5 of key, stream name and the text of txTime. A
// transcoded stream is named with its template, stream_template.
func Secret(key, stream, txTime string) string {
	sum := md5.Sum([]byte(key + stream + txTime)) //nolint:gosec // CSS's signature is MD5
	return hex.EncodeToString(sum[:])
}
