package csstest

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"
)

// streamState is https://cloud.tencent.com/document/product/267/20470.
func (s *Server) streamState(body []byte) (any, *apiError) {
	var of struct{ AppName, DomainName, StreamName string }
	if refusal := decode(body, &of); refusal != nil {
		return nil, refusal
	}
	for _, p := range []struct{ name, value string }{{"AppName", of.AppName}, {"DomainName", of.DomainName}, {"StreamName", of.StreamName}} {
		if p.value == "" {
			return nil, missing(p.name)
		}
	}
	key, state := keyOf(of.DomainName, of.AppName, of.StreamName), "inactive"
	if _, online := s.streams[key]; online {
		state = "active"
	} else if s.forbidden[key] {
		state = "forbid"
	}
	return map[string]string{"StreamState": state}, nil
}

type publishTime struct{ PublishTime string }

type onlineInfo struct {
	StreamName, AppName, DomainName string
	PublishTimeList                 []publishTime
}

func or(p *int, unset int) int {
	if p == nil {
		return unset
	}
	return *p
}

// onlineList is https://cloud.tencent.com/document/product/267/20472.
func (s *Server) onlineList(body []byte) (any, *apiError) {
	var of struct {
		DomainName, AppName, StreamName string
		PageNum, PageSize               *int
	}
	if refusal := decode(body, &of); refusal != nil {
		return nil, refusal
	}
	page, size := or(of.PageNum, 1), or(of.PageSize, 10)
	if page < 1 || size < 10 || size > 100 {
		return nil, &apiError{"InvalidParameter", "PageNum begins with 1; PageSize is 10 to 100."}
	}
	listed := s.streams
	if s.frozen != nil {
		listed = s.frozen
	}
	var all []onlineInfo
	for key, published := range listed {
		if of.DomainName != "" && key.domain != strings.ToLower(of.DomainName) || of.AppName != "" && key.app != of.AppName || of.StreamName != "" && key.stream != of.StreamName {
			continue
		}
		info := onlineInfo{StreamName: key.stream, AppName: key.app, DomainName: key.domain, PublishTimeList: []publishTime{}}
		for _, at := range published {
			info.PublishTimeList = append(info.PublishTimeList, publishTime{at.UTC().Format(time.RFC3339)})
		}
		all = append(all, info)
	}
	slices.SortFunc(all, func(a, b onlineInfo) int {
		return cmp.Or(cmp.Compare(a.DomainName, b.DomainName), cmp.Compare(a.AppName, b.AppName), cmp.Compare(a.StreamName, b.StreamName))
	})
	from, to := min((page-1)*size, len(all)), min(page*size, len(all))
	return map[string]any{
		"OnlineInfo": append([]onlineInfo{}, all[from:to]...), "PageNum": page, "PageSize": size,
		"TotalNum": len(all), "TotalPage": (len(all) + size - 1) / size,
	}, nil
}

// Template is a callback template, spelled as the vendor does.
type Template struct {
	TemplateID                int64  `json:"TemplateId"`
	TemplateName              string `json:"TemplateName"`
	Description               string `json:"Description"`
	StreamBeginNotifyURL      string `json:"StreamBeginNotifyUrl"`
	StreamEndNotifyURL        string `json:"StreamEndNotifyUrl"`
	RecordNotifyURL           string `json:"RecordNotifyUrl"`
	SnapshotNotifyURL         string `json:"SnapshotNotifyUrl"`
	PornCensorshipNotifyURL   string `json:"PornCensorshipNotifyUrl"`
	PushExceptionNotifyURL    string `json:"PushExceptionNotifyUrl"`
	AudioAuditNotifyURL       string `json:"AudioAuditNotifyUrl"`
	CallbackKey               string `json:"CallbackKey"`
	RecordExceptionNotifyURL  string `json:"RecordExceptionNotifyUrl,omitempty"`
	StreamMixNotifyURL        string `json:"StreamMixNotifyUrl,omitempty"`
	RecordStatusNotifyURL     string `json:"RecordStatusNotifyUrl,omitempty"`
	RecordExceptionLevelsText string `json:"RecordExceptionLevels,omitempty"`
}

// Rule binds a template, spelled as the vendor does.
type Rule struct {
	TemplateID int64  `json:"TemplateId"`
	DomainName string `json:"DomainName"`
	AppName    string `json:"AppName"`
	// In Beijing time.
	CreateTime string `json:"CreateTime,omitempty"`
	UpdateTime string `json:"UpdateTime,omitempty"`
}

func (r Rule) binds(other Rule) bool {
	return strings.EqualFold(r.DomainName, other.DomainName) && r.AppName == other.AppName
}

func (s *Server) template(id int64) int {
	return slices.IndexFunc(s.templates, func(t Template) bool { return t.TemplateID == id })
}

func (s *Server) add(t Template) int64 {
	t.TemplateID = 1000
	for _, other := range s.templates {
		t.TemplateID = max(t.TemplateID, other.TemplateID+1)
	}
	s.templates = append(s.templates, t)
	return t.TemplateID
}

// plain is what names and descriptions may have: document 267/30815 (Chinese characters, which are allowed too, are left out here).
var plain = regexp.MustCompile(`^[A-Za-z0-9_-]*$`)

func wrong(t Template) *apiError {
	switch {
	case t.TemplateName == "":
		return missing("TemplateName")
	case len(t.TemplateName) > 255 || len(t.Description) > 1024:
		return &apiError{"InvalidParameter", "TemplateName takes 255 bytes, Description 1024."}
	case !plain.MatchString(t.TemplateName) || !plain.MatchString(t.Description):
		return &apiError{"InvalidParameter", "TemplateName and Description take letters, digits, _ and -."}
	default:
		return nil
	}
}

// maxTemplates of an account.
const maxTemplates = 50

func (t Template) withoutURL() bool {
	return t.StreamBeginNotifyURL+t.StreamEndNotifyURL+t.RecordNotifyURL+t.SnapshotNotifyURL+t.PornCensorshipNotifyURL+
		t.PushExceptionNotifyURL+t.AudioAuditNotifyURL+t.RecordExceptionNotifyURL+t.StreamMixNotifyURL+t.RecordStatusNotifyURL == ""
}

// createTemplate is https://cloud.tencent.com/document/product/267/32637; that a template needs a URL, and that 50 is the most, is
// on https://www.tencentcloud.com/document/product/267/30815, which does not tell the codes.
func (s *Server) createTemplate(body []byte) (any, *apiError) {
	var t Template
	if refusal := decode(body, &t); refusal != nil {
		return nil, refusal
	}
	if t.TemplateID != 0 {
		return nil, &apiError{"UnknownParameter", "The parameter TemplateId is not recognized."}
	}
	if refusal := wrong(t); refusal != nil {
		return nil, refusal
	}
	if t.withoutURL() {
		return nil, &apiError{"InvalidParameter", "At least one callback URL must be specified."}
	}
	if len(s.templates) >= maxTemplates {
		return nil, &apiError{"FailedOperation", "Up to 50 templates can be created."}
	}
	return map[string]int64{"TemplateId": s.add(t)}, nil
}

// modifyTemplate leaves what the request does not name as it was.
func (s *Server) modifyTemplate(body []byte) (any, *apiError) {
	var t Template
	if refusal := decode(body, &t); refusal != nil {
		return nil, refusal
	}
	i := s.template(t.TemplateID)
	if i < 0 {
		return nil, &apiError{"ResourceNotFound", "The template does not exist."}
	}
	// Once more, over what is there.
	t = s.templates[i]
	if refusal := decode(body, &t); refusal != nil {
		return nil, refusal
	}
	if refusal := wrong(t); refusal != nil {
		return nil, refusal
	}
	s.templates[i] = t
	return map[string]any{}, nil
}

// listTemplates is https://cloud.tencent.com/document/product/267/32632; the keys of the templates are in clear.
func (s *Server) listTemplates(body []byte) (any, *apiError) {
	if refusal := decode(body, &struct{}{}); refusal != nil {
		return nil, refusal
	}
	return map[string]any{"Templates": append([]Template{}, s.templates...)}, nil
}

// createRule is https://cloud.tencent.com/document/product/267/32638.
func (s *Server) createRule(body []byte) (any, *apiError) {
	var r Rule
	if refusal := decode(body, &r); refusal != nil {
		return nil, refusal
	}
	switch {
	case r.DomainName == "":
		return nil, missing("DomainName")
	case r.AppName == "":
		return nil, missing("AppName")
	case s.template(r.TemplateID) < 0:
		return nil, &apiError{"ResourceNotFound", "The template does not exist."}
	case slices.ContainsFunc(s.rules, r.binds):
		return nil, &apiError{"FailedOperation.RuleAlreadyExist", "The rule already exists."}
	}
	beijing := s.clock.Now().In(time.FixedZone("CST", 8*60*60)).Format(time.DateTime)
	r.CreateTime, r.UpdateTime = beijing, beijing
	s.rules = append(s.rules, r)
	return map[string]any{}, nil
}

func (s *Server) listRules(body []byte) (any, *apiError) {
	if refusal := decode(body, &struct{}{}); refusal != nil {
		return nil, refusal
	}
	return map[string]any{"Rules": append([]Rule{}, s.rules...)}, nil
}
