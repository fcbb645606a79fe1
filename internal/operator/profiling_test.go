package operator

import "testing"

func TestProfilesAreServedToThisMachineAlone(t *testing.T) {
	for _, row := range []struct {
		name, address string
		refused       bool
	}{
		{"none, by default", "", false},
		{"this machine", "127.0.0.1:6060", false},
		{"this machine, by IPv6", "[::1]:6060", false},
		{"every address", ":6060", true},
		{"every address, by number", "0.0.0.0:6060", true},
		{"another machine", "10.0.0.1:6060", true},
		{"a name, which may lead anywhere", "localhost:6060", true},
		{"no port", "127.0.0.1", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			if err := checkProfiling(row.address); (err != nil) != row.refused {
				t.Errorf("got %v, refused should be %v", err, row.refused)
			}
		})
	}
}
