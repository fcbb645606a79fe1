package cssapi_test

import (
	"strings"
	"testing"

	"github.com/livestream-operator/livestream-operator/internal/cssapi/csstest"
)

// The answer to DescribeLiveCallbackTemplates has the keys of all templates of the account in clear. An error that repeats the
// answer ends up in a log and in a condition.
func TestAnAnswerWithKeysThatCannotBeReadIsNotRepeated(t *testing.T) {
	t.Parallel()
	answer := `{"Response":{"Templates":[{"TemplateId":1,"CallbackKey":"` + callbackKey + `"`
	for name, how := range map[string]csstest.Failure{
		"cut off":              {Body: answer},
		"with HTTP 500":        {Status: 500, Body: answer},
		"of another shape":     {Body: answer + `}]},"code":"` + callbackKey + `"}`},
		"within an odd number": {Body: `{"Response":{"Templates":[{"TemplateId":"` + callbackKey + `"}]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, client := setUp(t)
			server.Fail(csstest.ListTemplates, csstest.Always, how)
			_, err := client.Templates(t.Context())
			if err == nil || strings.Contains(err.Error(), callbackKey) {
				t.Errorf("Templates() = %v, want an error without the callback key", err)
			}
		})
	}
}
