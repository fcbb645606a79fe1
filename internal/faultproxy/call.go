package faultproxy

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Call is what a request asks the API server for.
type Call struct {
	// Verb is get, list, watch, create, update, patch, delete, or deletecollection.
	Verb string
	// Resource is the plural, with the subresource after a slash; "" for what is no object, such as discovery.
	Resource  string
	Namespace string
	Name      string
	// UserAgent is the client's.
	UserAgent string
	// At is when the proxy had it.
	At time.Time
	// Status is the API server's answer, 0 where it was not asked or has not answered.
	Status int
}

// Key names calls of a kind.
func (c Call) Key() string { return c.Verb + " " + c.Resource }

// Writes says whether the call may change anything.
func (c Call) Writes() bool { return !slices.Contains([]string{"get", "list", "watch"}, c.Verb) }

// path is a request's path, taken apart.
type path struct {
	// group is /api/v1 or /apis/group/version.
	group, namespace, resource, name, subresource string
}

func parsePath(text string) path {
	parts := strings.Split(strings.Trim(text, "/"), "/")
	var p path
	switch {
	case parts[0] == "api" && len(parts) > 2:
		p.group, parts = "/"+strings.Join(parts[:2], "/"), parts[2:]
	case parts[0] == "apis" && len(parts) > 3:
		p.group, parts = "/"+strings.Join(parts[:3], "/"), parts[3:]
	default:
		return path{}
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		p.namespace, parts = parts[1], parts[2:]
	}
	p.resource = parts[0]
	if len(parts) > 1 {
		p.name = parts[1]
	}
	p.subresource = strings.Join(parts[min(2, len(parts)):], "/")
	return p
}

func callOf(r *http.Request, now time.Time) Call {
	p := parsePath(r.URL.Path)
	call := Call{Resource: p.resource, Namespace: p.namespace, Name: p.name, UserAgent: r.UserAgent(), At: now}
	if p.subresource != "" {
		call.Resource += "/" + p.subresource
	}
	watches := r.URL.Query().Get("watch")
	switch r.Method {
	case http.MethodPost:
		call.Verb = "create"
	case http.MethodPut:
		call.Verb = "update"
	case http.MethodPatch:
		call.Verb = "patch"
	case http.MethodDelete:
		call.Verb = "delete"
		if p.name == "" {
			call.Verb = "deletecollection"
		}
	default:
		call.Verb = "get"
		if watches == "true" || watches == "1" {
			call.Verb = "watch"
		} else if p.resource != "" && p.name == "" {
			call.Verb = "list"
		}
	}
	return call
}

// clusterWide are the resources that no namespace holds.
var clusterWide = []string{"namespaces", "nodes", "customresourcedefinitions", "persistentvolumes", "clusterroles", "clusterrolebindings"}

// confined is the path of a list or watch of all namespaces as that of one. It is the same kind of answer.
func confined(text, namespace string) string {
	p := parsePath(text)
	if namespace == "" || p.resource == "" || p.namespace != "" || p.name != "" || slices.Contains(clusterWide, p.resource) {
		return text
	}
	return p.group + "/namespaces/" + namespace + "/" + p.resource
}
