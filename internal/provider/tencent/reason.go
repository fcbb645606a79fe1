package tencent

import "github.com/livestream-operator/livestream-operator/api/v1alpha1"

// reasons classes the interruption codes. Codes that are not here are v1alpha1.PushReasonUnknownError, as the vendor says of them.
// A callback has no sub-code, so 18 and 21 cannot be told apart further; what else is live decides, never the code.
// Source: https://www.tencentcloud.com/document/product/267/31083 (table of interruption records, 2024).
var reasons = map[int32]v1alpha1.PushReason{
	1: v1alpha1.PushReasonClientStopped, 2: v1alpha1.PushReasonClientStopped, 35: v1alpha1.PushReasonClientStopped,

	3: v1alpha1.PushReasonClientDisconnected, 4: v1alpha1.PushReasonClientDisconnected,

	12: v1alpha1.PushReasonNetworkError, 13: v1alpha1.PushReasonNetworkError, 14: v1alpha1.PushReasonNetworkError,
	15: v1alpha1.PushReasonNetworkError, 16: v1alpha1.PushReasonNetworkError, 17: v1alpha1.PushReasonNetworkError,

	5: v1alpha1.PushReasonPlatformError, 9: v1alpha1.PushReasonPlatformError, 10: v1alpha1.PushReasonPlatformError,
	11: v1alpha1.PushReasonPlatformError, 24: v1alpha1.PushReasonPlatformError, 37: v1alpha1.PushReasonPlatformError,
	38: v1alpha1.PushReasonPlatformError,

	6: v1alpha1.PushReasonProtocolError, 7: v1alpha1.PushReasonProtocolError, 23: v1alpha1.PushReasonProtocolError,
	33: v1alpha1.PushReasonProtocolError, 39: v1alpha1.PushReasonProtocolError,

	8: v1alpha1.PushReasonIdleTimeout, 20: v1alpha1.PushReasonIdleTimeout,

	21: v1alpha1.PushReasonByOperator,

	18: v1alpha1.PushReasonRefused, 19: v1alpha1.PushReasonRefused,
}

// ReasonOf is the class of an interruption code.
func ReasonOf(errorCode int32) v1alpha1.PushReason {
	if reason, known := reasons[errorCode]; known {
		return reason
	}
	return v1alpha1.PushReasonUnknownError
}
