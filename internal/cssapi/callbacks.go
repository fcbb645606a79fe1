package cssapi

import "context"

// Template is a callback template: where CSS sends callbacks, and what it signs them with.
type Template struct {
	ID                                       int64
	Name, Description                        string
	StreamBeginNotifyURL, StreamEndNotifyURL string
	CallbackKey                              string
}

// String leaves out the key.
func (t Template) String() string { return t.Name }

// GoString leaves out the key.
func (t Template) GoString() string { return t.Name }

// Rule binds a template to an application of a push domain.
type Rule struct {
	TemplateID  int64
	Domain, App string
}

// wireTemplate is a template as the API spells it.
type wireTemplate struct {
	TemplateID                               int64 `json:"TemplateId"`
	TemplateName, Description, CallbackKey   string
	StreamBeginNotifyURL, StreamEndNotifyURL string
}

// Templates lists the callback templates of the account, their keys in clear.
// Source: https://cloud.tencent.com/document/product/267/32632.
func (c *Client) Templates(ctx context.Context) ([]Template, error) {
	var answer struct{ Templates []wireTemplate }
	if err := c.call(ctx, c.setup, "DescribeLiveCallbackTemplates", map[string]any{}, &answer, "Templates"); err != nil {
		return nil, err
	}
	templates := make([]Template, 0, len(answer.Templates))
	for _, t := range answer.Templates {
		templates = append(templates, Template{
			ID: t.TemplateID, Name: t.TemplateName, Description: t.Description, CallbackKey: t.CallbackKey,
			StreamBeginNotifyURL: t.StreamBeginNotifyURL, StreamEndNotifyURL: t.StreamEndNotifyURL,
		})
	}
	return templates, nil
}

func (t Template) parameters() map[string]any {
	return map[string]any{
		"TemplateName": t.Name, "Description": t.Description, "CallbackKey": t.CallbackKey,
		"StreamBeginNotifyUrl": t.StreamBeginNotifyURL, "StreamEndNotifyUrl": t.StreamEndNotifyURL,
	}
}

// CreateTemplate returns the ID of the template that it makes. Source: https://cloud.tencent.com/document/product/267/32637.
func (c *Client) CreateTemplate(ctx context.Context, t Template) (int64, error) {
	var answer struct {
		TemplateID int64 `json:"TemplateId"`
	}
	err := c.call(ctx, c.setup, "CreateLiveCallbackTemplate", t.parameters(), &answer, "TemplateId")
	return answer.TemplateID, err
}

// ModifyTemplate changes the template with the given ID.
func (c *Client) ModifyTemplate(ctx context.Context, t Template) error {
	parameters := t.parameters()
	parameters["TemplateId"] = t.ID
	return c.call(ctx, c.setup, "ModifyLiveCallbackTemplate", parameters, &struct{}{})
}

// Rules lists which templates are bound to what.
func (c *Client) Rules(ctx context.Context) ([]Rule, error) {
	var answer struct {
		Rules []struct {
			TemplateID          int64 `json:"TemplateId"`
			DomainName, AppName string
		}
	}
	if err := c.call(ctx, c.setup, "DescribeLiveCallbackRules", map[string]any{}, &answer, "Rules"); err != nil {
		return nil, err
	}
	rules := make([]Rule, 0, len(answer.Rules))
	for _, r := range answer.Rules {
		rules = append(rules, Rule{TemplateID: r.TemplateID, Domain: r.DomainName, App: r.AppName})
	}
	return rules, nil
}

// CreateRule binds a template. It takes 5 to 10 minutes to work. Source: https://cloud.tencent.com/document/product/267/32638.
func (c *Client) CreateRule(ctx context.Context, r Rule) error {
	return c.call(ctx, c.setup, "CreateLiveCallbackRule", map[string]any{"TemplateId": r.TemplateID, "DomainName": r.Domain, "AppName": r.App}, &struct{}{})
}
