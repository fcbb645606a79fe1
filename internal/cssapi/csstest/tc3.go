package csstest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm = "TC3-HMAC-SHA256"
	scopeEnd  = "tc3_request"
	// tolerance is how far the clocks of caller and API may differ.
	tolerance = 5 * time.Minute
)

// signed is what a TC3 signature covers.
type signed struct {
	method, query, contentType, host, service string
	body                                      []byte
	at                                        time.Time
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(text)) // a hash never fails
	return h.Sum(nil)
}

// scope is what the key of a signature is made for: a day and a service.
func (s signed) scope() string {
	return s.at.UTC().Format(time.DateOnly) + "/" + s.service + "/" + scopeEnd
}

// signature is TC3-HMAC-SHA256 over content type, host and body. Source: https://cloud.tencent.com/document/api/213/30654.
func (s signed) signature(secretKey string) string {
	canonical := strings.Join([]string{
		s.method, "/", s.query, "content-type:" + s.contentType, "host:" + s.host, "", "content-type;host", digestOf(s.body),
	}, "\n")
	toSign := strings.Join([]string{algorithm, strconv.FormatInt(s.at.Unix(), 10), s.scope(), digestOf([]byte(canonical))}, "\n")
	key := mac([]byte("TC3"+secretKey), s.at.UTC().Format(time.DateOnly))
	key = mac(mac(key, s.service), scopeEnd)
	return hex.EncodeToString(mac(key, toSign))
}

// authorize says what is wrong with the signature of a request, in the vendor's codes.
func (s *Server) authorize(r *http.Request, body []byte) *apiError {
	seconds, err := strconv.ParseInt(r.Header.Get("X-TC-Timestamp"), 10, 64)
	if err != nil {
		return &apiError{"AuthFailure.SignatureFailure", "The X-TC-Timestamp header is not a number."}
	}
	at := time.Unix(seconds, 0)
	if s.clock.Since(at).Abs() > tolerance {
		return &apiError{"AuthFailure.SignatureExpire", "The X-TC-Timestamp header is more than five minutes away from the server's time."}
	}
	id, scope, signature, err := parseAuthorization(r.Header.Get("Authorization"))
	if err != nil {
		return &apiError{"AuthFailure.InvalidAuthorization", err.Error()}
	}
	if id != s.credentials.SecretID {
		return &apiError{"AuthFailure.SecretIdNotFound", "The SecretId is not found, please ensure that your SecretId is correct."}
	}
	if r.Header.Get("X-TC-Token") != s.credentials.Token {
		return &apiError{"AuthFailure.TokenFailure", "The token is not valid."}
	}
	request := signed{r.Method, "", r.Header.Get("Content-Type"), r.Host, "live", body, at}
	if scope != request.scope() || !hmac.Equal([]byte(signature), []byte(request.signature(s.credentials.SecretKey))) {
		return &apiError{"AuthFailure.SignatureFailure", "The provided credentials could not be validated. Please check your signature is correct."}
	}
	return nil
}

// parseAuthorization reads TC3-HMAC-SHA256 Credential=ID/DATE/SERVICE/tc3_request, SignedHeaders=content-type;host, Signature=HEX.
func parseAuthorization(header string) (id, scope, signature string, err error) {
	rest, is := strings.CutPrefix(header, algorithm+" ")
	if !is {
		return "", "", "", fmt.Errorf("the Authorization header does not begin with %s", algorithm)
	}
	values := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		values[name] = value
	}
	if values["SignedHeaders"] != "content-type;host" {
		return "", "", "", errors.New("this server checks signatures of content-type and host alone")
	}
	id, scope, is = strings.Cut(values["Credential"], "/")
	if !is || values["Signature"] == "" {
		return "", "", "", errors.New("the Authorization header lacks a part")
	}
	return id, scope, values["Signature"], nil
}
