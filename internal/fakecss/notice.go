package fakecss

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// call is what nginx tells of, in its own words.
type call string

const (
	publish     call = "publish"
	publishDone call = "publish_done"
	update      call = "update_publish"
	play        call = "play"
)

// client is one connection to an ingest: nginx numbers them from 1 on each server.
type client struct{ server, id string }

// notice is what nginx posts about a connection.
type notice struct {
	call        call
	client      client
	app, stream string
	address     string
	// param is the query of the push URL as the publisher wrote it. It holds a credential.
	param string
	// onAir is how long an update says that the push lasts.
	onAir time.Duration
}

// parseNotice reads the form that nginx-rtmp posts. Its own fields come first and the publisher's arguments, unescaped, last: so the
// first field of a name counts, and a publisher cannot pass for another.
// Source: ngx_rtmp_notify_module.c of nginx-rtmp-module 1.2.2.
func parseNotice(server, form string) (notice, error) {
	fields := fieldsOf(form)
	n := notice{
		call: call(fields["call"]), client: client{server, fields["clientid"]},
		app: fields["app"], stream: fields["name"], address: fields["addr"],
	}
	switch n.call {
	case publish, publishDone, update, play:
		if n.app == "" || n.stream == "" || n.client.id == "" {
			return notice{}, fmt.Errorf("%s without app, name or clientid", n.call)
		}
	case "":
		return notice{}, errors.New("the form has no call; is it nginx-rtmp that posts it?")
	}
	switch n.call {
	case publish:
		n.param = argumentsAfter("type", form)
	case update:
		n.param = argumentsAfter("name", form)
		seconds, err := strconv.ParseInt(fields["time"], 10, 32)
		if err != nil {
			return notice{}, fmt.Errorf("%s with the time %q: %w", n.call, fields["time"], err)
		}
		n.onAir = time.Duration(seconds) * time.Second
	}
	return n, nil
}

func fieldsOf(form string) map[string]string {
	fields := map[string]string{}
	for pair := range strings.SplitSeq(form, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if _, known := fields[name]; known {
			continue
		}
		// Not a query: nginx writes a blank as %20 and means + by +.
		if text, err := url.PathUnescape(value); err == nil {
			value = text
		}
		fields[name] = value
	}
	return fields
}

// argumentsAfter is what follows nginx's own last field.
func argumentsAfter(last, form string) string {
	_, rest, _ := strings.Cut(form, "&"+last+"=")
	_, arguments, _ := strings.Cut(rest, "&")
	return arguments
}
