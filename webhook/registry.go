package webhook

import (
	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/provider/tencent"
)

// parsers is all that knows which providers there are.
var parsers = map[v1alpha1.Provider]provider.Parser{
	v1alpha1.ProviderTencentCSS: tencent.Parser{},
}
