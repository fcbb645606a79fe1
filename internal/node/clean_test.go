package node

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatLogsIntoAFolderIsEndedAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start := func(file string) *exec.Cmd {
		log, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		command := exec.CommandContext(t.Context(), "sleep", "600")
		command.Stderr = log
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		return command
	}
	inside, outside := start(filepath.Join(dir, "log")), start(filepath.Join(t.TempDir(), "log"))
	if err := End(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	_ = inside.Wait()
	if status, is := inside.ProcessState.Sys().(syscall.WaitStatus); !is || status.Signal() != syscall.SIGKILL {
		t.Errorf("who logs into the folder ended by %v", inside.ProcessState)
	}
	if err := outside.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("who logs elsewhere is gone: %v", err)
	}
}

func TestOnlyRulesOfOurSubnetAreTakenAway(t *testing.T) {
	t.Parallel()
	for rule, ours := range map[string]bool{
		`-A POSTROUTING -s 10.245.77.12/32 -m comment --comment "name: \"livestream-node\" id: \"1a\"" -j CNI-0123456789abcdef01234567`: true,
		`-A POSTROUTING -s 10.244.77.12/32 -m comment --comment "name: \"cbr0\" id: \"1a\"" -j CNI-0123456789abcdef01234567`:            false,
		`-A POSTROUTING -s 10.245.77.0/24 -j MASQUERADE`: false,
		`-A POSTROUTING -j CNI-HOSTPORT-MASQ`:            false,
	} {
		if chain.MatchString(rule) != ours {
			t.Errorf("%s is taken for ours: %t", rule, !ours)
		}
	}
}

func TestThePodsOfANodeAreThoseThatItsKubeletHasFoldersOf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if got := podsOf(dir); len(got) != 0 {
		t.Errorf("a folder of nothing has Pods %v", got)
	}
	if err := os.MkdirAll(filepath.Join(dir, "kubelet", "pods", "fb2a96c5"), 0o750); err != nil {
		t.Fatal(err)
	}
	if got := podsOf(dir); len(got) != 1 || got[0] != "fb2a96c5" {
		t.Errorf("Pods = %v", got)
	}
}

func TestOfAFolderOfOthersNothingIsBelieved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mine, open, link, file := filepath.Join(dir, "mine"), filepath.Join(dir, "open"), filepath.Join(dir, "link"), filepath.Join(dir, "file")
	if err := errors.Join(os.Mkdir(mine, 0o700), os.Mkdir(open, 0o700), os.Chmod(open, 0o777), os.Symlink(mine, link), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := Ours(mine); err != nil {
		t.Error(err)
	}
	others := []string{open, link, file}
	if os.Geteuid() == 0 {
		given := filepath.Join(dir, "given")
		if err := errors.Join(os.Mkdir(given, 0o700), os.Chown(given, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		others = append(others, given)
	}
	for _, other := range others {
		if err := Ours(other); !errors.Is(err, ErrNotOurs) {
			t.Errorf("Ours(%s) = %v", other, err)
		}
		if err := Clean(t.Context(), other); !errors.Is(err, ErrNotOurs) {
			t.Errorf("Clean(%s) = %v", other, err)
		}
	}
}

func TestMountsBelowAFolderAreFoundWhateverItsName(t *testing.T) {
	t.Parallel()
	list := "tmpfs /tmp/it\\134s\\040mine/node/kubelet tmpfs rw 0 0\ntmpfs /tmp/it\\134s\\040mine-too/node tmpfs rw 0 0\nproc /proc proc rw 0 0\n"
	if diff := cmp.Diff([]string{`/tmp/it\s mine/node/kubelet`}, below(`/tmp/it\s mine`, list)); diff != "" {
		t.Error(diff)
	}
}
