package csstest

import (
	"testing"
	"time"
)

// The vendor's own examples. Source: https://cloud.tencent.com/document/api/213/30654 (2019 and 2018 editions).
func TestTheVendorsExamplesHaveTheVendorsSignatures(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		is   signed
		want string
	}{
		{
			"GET",
			signed{"GET", "Limit=10&Offset=0", "application/x-www-form-urlencoded", "cvm.tencentcloudapi.com", "cvm", nil, time.Unix(1539084154, 0)},
			"5da7a33f6993f0614b047e5df4582db9e9bf4672ba50567dba16c6ccf174c474",
		},
		{
			"POST",
			signed{
				"POST", "", "application/json; charset=utf-8", "cvm.tencentcloudapi.com", "cvm",
				[]byte(`{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`), time.Unix(1551113065, 0),
			},
			"72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := tc.is.signature("Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"); got != tc.want {
				t.Errorf("signature = %s, want %s", got, tc.want)
			}
		})
	}
}
