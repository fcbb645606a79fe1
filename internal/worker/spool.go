package worker

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/mpegts"
	"github.com/livestream-operator/livestream-operator/internal/recording"
)

// Spool is the folder that keeps parts until the store has them, and beyond that as long as there is room: what is there need
// not be loaded again to join it. It outlives the process.
type Spool struct {
	dir string
	job int
	// limit in bytes of what is kept of parts that are stored.
	limit int64

	mu     sync.Mutex
	number int
	added  chan struct{}
}

const (
	openDir   = "open"
	readyDir  = "ready"
	storedDir = "stored"
	// numberFile holds the number of the last part.
	numberFile = "number"
)

// OpenSpool makes or opens a spool for the given Job of a broadcast. What a process that was killed left open becomes parts.
func OpenSpool(dir string, job int, limit int64) (*Spool, error) {
	s := &Spool{dir: dir, job: job, limit: limit, added: make(chan struct{}, 1)}
	for _, name := range []string{openDir, readyDir, storedDir} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o750); err != nil {
			return nil, fmt.Errorf("making the spool: %w", err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, numberFile)) //nolint:gosec // in the spool
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the number of the last part: %w", err)
	}
	s.number, _ = strconv.Atoi(strings.TrimSpace(string(text)))
	parts, err := s.Parts()
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if p.Job == job {
			s.number = max(s.number, p.Number)
		}
	}
	// What cannot be taken now, for want of room, stays for the end: this one may still record, and make room.
	_ = s.recover()
	return s, nil
}

// Fresh says whether no part was ever added.
func (s *Spool) Fresh() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number == 0
}

// yetToCome is how many parts a Pod that is ending may still store.
const yetToCome = 10_000

// Follow numbers what comes behind parts of the same Job that another spool had.
func (s *Spool) Follow(parts []recording.Part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := 0
	for _, p := range parts {
		if p.Job == s.job {
			last = max(last, p.Number, p.Run)
		}
	}
	if last > 0 {
		s.number = max(s.number, last+yetToCome)
	}
}

// recover makes parts of the files that a killed process left open, in their order, or that could not be made parts when they were
// closed. No run may be open.
func (s *Spool) recover() error {
	runs, err := s.left()
	if err != nil {
		return err
	}
	var failed []error
	for _, o := range runs {
		failed = append(failed, o.closeAll())
	}
	return errors.Join(failed...)
}

// openRun is a folder in which one connect leaves its files.
type openRun struct {
	spool *Spool
	run   int
	dir   string
	// first is the first timestamp of the run, began when it was, by the worker's clock, and last the first one of the last part.
	first, last mpegts.Ticks
	began       time.Time
}

// Begin opens a run, one at a time. Its number is behind those of all parts before it, in this process or an earlier one, and of the files
// that could not be made parts yet.
func (s *Spool) Begin() (*openRun, error) {
	s.MakeRoom()
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.number
	left, err := s.left()
	if err != nil {
		return nil, err
	}
	for _, o := range left {
		files, err := os.ReadDir(o.dir)
		if err != nil {
			return nil, fmt.Errorf("reading a run of the spool: %w", err)
		}
		last = max(last, o.run)
		for _, f := range files {
			last = max(last, o.number(f.Name()))
		}
	}
	o := s.run(last + 1)
	if err := os.Mkdir(o.dir, 0o750); err != nil {
		return nil, fmt.Errorf("beginning a run in the spool: %w", err)
	}
	return o, nil
}

func (s *Spool) run(number int) *openRun {
	return &openRun{spool: s, run: number, dir: filepath.Join(s.dir, openDir, fmt.Sprintf("%05d", number))}
}

// left are the runs whose folders are there.
func (s *Spool) left() ([]*openRun, error) {
	folders, err := os.ReadDir(filepath.Join(s.dir, openDir))
	if err != nil {
		return nil, fmt.Errorf("reading the spool: %w", err)
	}
	var runs []*openRun
	for _, f := range folders {
		if number, err := strconv.Atoi(f.Name()); err == nil {
			runs = append(runs, s.run(number))
		}
	}
	return runs, nil
}

// number of the part that a file becomes: by its place in the run, so that one which cannot be taken before there is room again comes where it
// belongs.
func (o *openRun) number(name string) int {
	place, err := strconv.Atoi(strings.TrimSuffix(name, ".ts"))
	if err != nil {
		return 0
	}
	return o.run + place
}

// close makes a part of a file of the run. A file without any media is dropped.
func (o *openRun) close(name string) (recording.Part, bool, error) {
	path := filepath.Join(o.dir, filepath.Base(name))
	info, err := scanFile(path)
	if errors.Is(err, mpegts.ErrNoStream) {
		return recording.Part{}, false, removeFile(path)
	}
	if err != nil {
		return recording.Part{}, false, err
	}
	if o.began.IsZero() {
		stat, err := os.Stat(path)
		if err != nil {
			return recording.Part{}, false, fmt.Errorf("looking at a part: %w", err)
		}
		// Its last byte is as old as the file says.
		o.first, o.last, o.began = info.First, info.First, stat.ModTime().Add(-info.Duration())
	}
	o.last = info.First.Near(o.last)
	part := recording.Part{Number: o.number(filepath.Base(name)), Run: o.run, Start: o.began.Add((o.last - o.first).Duration()), Duration: info.Duration()}
	part, err = o.spool.Add(part, path)
	return part, err == nil, err
}

// closeAll makes parts of all files of the run, and drops its folder. A file that cannot be made a part stays.
func (o *openRun) closeAll() error {
	files, err := os.ReadDir(o.dir)
	if err != nil {
		return fmt.Errorf("reading a run of the spool: %w", err)
	}
	var failed []error
	for _, f := range files {
		_, _, err := o.close(f.Name())
		failed = append(failed, err)
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	if err := os.RemoveAll(o.dir); err != nil {
		return fmt.Errorf("dropping a run of the spool: %w", err)
	}
	return nil
}

// Add takes a file as a part, the next one where it has no number. It is in the spool for good when this returns, also should the node lose its power.
func (s *Spool) Add(part recording.Part, file string) (recording.Part, error) {
	s.MakeRoom()
	// Before it has its name: a disk that keeps the name alone would have an empty file stored as the part.
	if err := flush(file); err != nil {
		return part, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if stat, err := os.Stat(file); err != nil {
		return part, fmt.Errorf("looking at a part: %w", err)
	} else {
		part.Size = stat.Size()
	}
	part.Job, part.Number = s.job, cmp.Or(part.Number, s.number+1)
	last := max(s.number, part.Number)
	if err := writeNew(filepath.Join(s.dir, numberFile), []byte(strconv.Itoa(last))); err != nil {
		return part, fmt.Errorf("writing the number of the last part: %w", err)
	}
	if err := os.Rename(file, s.File(part)); err != nil {
		return part, fmt.Errorf("adding a part to the spool: %w", err)
	}
	s.number = last
	if err := flush(filepath.Join(s.dir, readyDir)); err != nil {
		return part, err
	}
	select {
	case s.added <- struct{}{}:
	default:
	}
	return part, nil
}

// writeNew replaces a file as a whole: a crash leaves the one before or this one.
func writeNew(file string, content []byte) error {
	if err := os.WriteFile(file+".new", content, 0o600); err != nil {
		return err
	}
	if err := flush(file + ".new"); err != nil {
		return err
	}
	if err := os.Rename(file+".new", file); err != nil {
		return err
	}
	return flush(filepath.Dir(file))
}

// flush has the disk keep what a file holds, or the names that a folder has.
func flush(name string) error {
	f, err := os.Open(name) //nolint:gosec // in the spool
	if err != nil {
		return fmt.Errorf("flushing the spool: %w", err)
	}
	err = f.Sync()
	// Some network file systems have nothing to flush.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("flushing the spool: %w", err)
	}
	return nil
}

// Added tells that there is a part which may not be stored yet.
func (s *Spool) Added() <-chan struct{} { return s.added }

// Ready are the parts that are not stored yet, in order.
func (s *Spool) Ready() ([]recording.Part, error) { return s.list(readyDir) }

// Parts are all that are there.
func (s *Spool) Parts() ([]recording.Part, error) {
	ready, err := s.list(readyDir)
	if err != nil {
		return nil, err
	}
	stored, err := s.list(storedDir)
	return append(stored, ready...), err
}

func (s *Spool) list(dir string) ([]recording.Part, error) {
	files, err := os.ReadDir(filepath.Join(s.dir, dir))
	if err != nil {
		return nil, fmt.Errorf("reading the spool: %w", err)
	}
	var parts []recording.Part
	for _, f := range files {
		p, is := recording.ParsePart(f.Name())
		if !is {
			continue
		}
		if info, err := f.Info(); err == nil {
			p.Size = info.Size()
			parts = append(parts, p)
		}
	}
	return parts, nil
}

// File is where the part is that is not stored yet.
func (s *Spool) File(p recording.Part) string { return filepath.Join(s.dir, readyDir, p.Name()) }

// Stored notes that the store has the part, verified. It is kept as long as there is room.
func (s *Spool) Stored(p recording.Part) error {
	if err := os.Rename(s.File(p), filepath.Join(s.dir, storedDir, p.Name())); err != nil {
		return fmt.Errorf("noting that a part is stored: %w", err)
	}
	return s.keep(s.limit)
}

// keep drops the oldest parts that are stored and exceed so many bytes.
func (s *Spool) keep(limit int64) error {
	kept, err := s.list(storedDir)
	if err != nil {
		return err
	}
	sum := int64(0)
	for _, p := range slices.Backward(kept) {
		if sum += p.Size; sum > limit {
			if err := removeFile(filepath.Join(s.dir, storedDir, p.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// leastFree is the part of a disk, in percent, that is left free: where a tenth is, a kubelet evicts Pods of its node.
const leastFree = 15

// lacking is how much less than that is free, in bytes as the others.
func lacking(free, size int64) int64 { return max(0, size/100*leastFree-free) }

// MakeRoom drops parts that are stored where the disk is nearly full: what comes has nowhere else to go, nor have others on the disk. A failure
// shows when something is written.
func (s *Spool) MakeRoom() {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &disk); err != nil {
		return
	}
	block := int64(disk.Bsize)                                            //nolint:unconvert // its type differs between systems
	wanted := lacking(int64(disk.Bavail)*block, int64(disk.Blocks)*block) //nolint:gosec // sizes of a disk
	if wanted == 0 {
		return
	}
	kept, err := s.list(storedDir)
	if err != nil {
		return
	}
	sum := int64(0)
	for _, p := range kept {
		sum += p.Size
	}
	_ = s.keep(max(0, sum-wanted))
}

// Open reads a part, stored or not; fs.ErrNotExist when it is not here, or is not as long as it has to be: the store may have it whole.
func (s *Spool) Open(p recording.Part) (*os.File, error) {
	f, err := os.Open(s.File(p))
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.Open(filepath.Join(s.dir, storedDir, p.Name()))
	}
	if err != nil {
		return nil, err
	}
	stat, err := f.Stat()
	if err == nil && stat.Size() != p.Size {
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// forget drops the copy of a part that is stored, and says whether there was one.
func (s *Spool) forget(p recording.Part) bool {
	return os.Remove(filepath.Join(s.dir, storedDir, p.Name())) == nil
}

// Drop forgets all parts, and what was made of them here: the recording holds them. What is no part yet is in none.
func (s *Spool) Drop() error {
	err := errors.Join(os.RemoveAll(filepath.Join(s.dir, readyDir)), os.RemoveAll(filepath.Join(s.dir, storedDir)))
	for _, f := range []recording.Format{recording.FMP4, recording.MKV, recording.FLV} {
		err = errors.Join(err, removeFile(filepath.Join(s.dir, recording.FileName(f))))
	}
	return err
}

func scanFile(path string) (mpegts.Info, error) {
	f, err := os.Open(path) //nolint:gosec // in the spool
	if err != nil {
		return mpegts.Info{}, fmt.Errorf("opening a part: %w", err)
	}
	defer func() { _ = f.Close() }()
	return mpegts.Scan(f)
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("dropping a part: %w", err)
	}
	return nil
}

// names of files, sorted as ffmpeg counts them.
func names(files []os.DirEntry) []string {
	all := make([]string, 0, len(files))
	for _, f := range files {
		all = append(all, f.Name())
	}
	slices.Sort(all)
	return all
}
