package csstest

import (
	"maps"
	"slices"
	"time"
)

// Failure is how an action fails; the zero value is not at all.
type Failure struct {
	// Code and Message are told within an answer of HTTP 200, as the API does.
	Code, Message string
	// Status is another HTTP status, with Body as its text.
	Status int
	// Body without a Status is the whole answer.
	Body string
	// Hang never answers.
	Hang bool
}

// Failures that a test mostly needs.
var (
	InternalError       = Failure{Code: "InternalError", Message: "An internal error has occurred. Retry your request."}
	Unauthorized        = Failure{Code: "UnauthorizedOperation", Message: "The request is not authorized. Please check your CAM permissions."}
	RateLimited         = Failure{Code: "RequestLimitExceeded", Message: "Please reduce the frequency of calls."}
	InternalServerError = Failure{Status: 500, Body: "upstream is gone"}
	BrokenJSON          = Failure{Body: `{"Response":{"RequestId":"1",`}
	Hang                = Failure{Hang: true}
)

// Always as a count of failures means: until Recover.
const Always = -1

// Fail makes the next count calls of an action fail.
func (s *Server) Fail(action string, count int, how Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures[action] = []*failing{{count, how}}
}

// Then makes count calls of an action fail in another way, after those that fail already.
func (s *Server) Then(action string, count int, how Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures[action] = append(s.failures[action], &failing{count, how})
}

// Recover ends the failures of an action.
func (s *Server) Recover(action string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.failures, action)
}

func (s *Server) failure(action string) Failure {
	for _, f := range s.failures[action] {
		if f.left == 0 {
			continue
		}
		f.left = max(f.left-1, Always)
		return f.how
	}
	return Failure{}
}

// Limit answers RequestLimitExceeded to more calls of an action in a second.
func (s *Server) Limit(action string, perSecond int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits[action] = &limit{perSecond: perSecond}
}

// Calls counts the calls of an action, failed ones too.
func (s *Server) Calls(action string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[action]
}

// AllCalls counts the calls of all actions.
func (s *Server) AllCalls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// SetOnline puts a stream on air, with the times at which its pushes began, as the list tells them; without any, it tells none.
func (s *Server) SetOnline(domain, app, stream string, published ...time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[keyOf(domain, app, stream)] = published
}

// SetOffline takes a stream off the air.
func (s *Server) SetOffline(domain, app, stream string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, keyOf(domain, app, stream))
}

// Forbid takes a stream off the air, and says that it may not come back.
func (s *Server) Forbid(domain, app, stream string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, keyOf(domain, app, stream))
	s.forbidden[keyOf(domain, app, stream)] = true
}

// Freeze keeps the list as it is now, while the state of single streams goes on being true.
func (s *Server) Freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = maps.Clone(s.streams)
}

// Thaw makes the list true again.
func (s *Server) Thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = nil
}

// Templates are those of the account.
func (s *Server) Templates() []Template {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.templates)
}

// Rules are those of the account.
func (s *Server) Rules() []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rules)
}

// PutTemplate makes or changes a template by hand. It returns its ID.
func (s *Server) PutTemplate(t Template) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.template(t.TemplateID); i >= 0 {
		s.templates[i] = t
		return t.TemplateID
	}
	return s.add(t)
}

// PutRule binds a template by hand.
func (s *Server) PutRule(r Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = slices.DeleteFunc(s.rules, func(other Rule) bool { return other.binds(r) })
	s.rules = append(s.rules, r)
}
