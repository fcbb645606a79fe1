package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/ffmpeg"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/store"
)

// finish stores what is left, joins all parts of the broadcast and verifies that. Parts are dropped only when the recording is
// complete; a Pod that has to go before the broadcast ends leaves its parts for the next one, and no recording: by the time that it was
// made, it might replace that of the next one.
func (w *Worker) finish(ctx context.Context, u *uploader, over bool) recording.Result {
	w.Health.Finishing()
	result, err := w.conclude(ctx, u, over)
	if err == nil {
		return result
	}
	w.Log.Error("The recording is not complete in the store", "error", err)
	kept := w.keep(err)
	if !over {
		// The next part goes on: a recording of what is here would be of no use to it, and takes the time that its Pod has.
		return kept
	}
	return w.joinKept(kept)
}

// overtime is how long a try may last that began in time: to join a show of many hours takes longer than to wait for a store. The
// operator ends a worker half an hour after its time.
const overtime = 25 * time.Minute

// working outlives the deadline of trying by that much, and nothing else.
func working(trying context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	deadline, is := trying.Deadline()
	if !is {
		return context.WithCancel(trying)
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(trying), deadline.Add(by))
	context.AfterFunc(trying, func() {
		if !errors.Is(trying.Err(), context.DeadlineExceeded) {
			cancel()
		}
	})
	return ctx, cancel
}

func (w *Worker) conclude(trying context.Context, u *uploader, over bool) (recording.Result, error) {
	ctx := trying
	if over {
		var done context.CancelFunc
		ctx, done = working(trying, w.overtime())
		defer done()
	}
	if err := retry(trying, func() error { return u.rest(ctx) }); err != nil {
		return recording.Result{}, fmt.Errorf("storing the last parts: %w", err)
	}
	if !over {
		return recording.Result{Message: "ended before the broadcast; what was recorded is stored, and the next part goes on"}, nil
	}
	result, err := w.publish(trying, ctx)
	if err != nil {
		return result, err
	}
	lacks := func(what string) {
		result.Message, result.Nothing = strings.TrimPrefix(result.Message+"; "+what, "; "), false
	}
	if left, unread := w.Spool.left(); unread != nil || len(left) > 0 {
		lacks("what could not be taken into the recording is in the spool")
	}
	if number := len(w.lifeless); number > 0 {
		lacks(fmt.Sprintf("parts that hold no media any more: %d, which stay in %s", number, recording.PartsFolder))
	}
	return result, nil
}

// publish makes the recording. Where no file comes of the parts in the time that there is, it is a playlist of them: what was stored can be
// played, and no other worker will try.
func (w *Worker) publish(trying, ctx context.Context) (recording.Result, error) {
	// The last tenth of it is the playlist's.
	joining, done := working(trying, w.overtime()*9/10)
	defer done()
	var result recording.Result
	err := retry(trying, func() (err error) {
		result, err = w.publishAs(joining, w.Config, "")
		return err
	})
	if err == nil || w.Config.Format == recording.HLS {
		return result, err
	}
	w.Log.Warn("The recording is a playlist of its parts: no file could be made of them", "error", err)
	config := w.Config
	config.Format = recording.HLS
	said := bounded("a playlist of its parts, of which no file could be made: " + err.Error())
	// However late it is, that is more than one try.
	deadline, _ := trying.Deadline()
	last, end := context.WithTimeout(ctx, max(0, time.Until(deadline))+w.overtime()/10)
	defer end()
	failed := retry(last, func() (err error) {
		result, err = w.publishAs(ctx, config, said)
		return err
	})
	if failed != nil {
		w.Log.Warn("Could not store a playlist of the parts either", "error", failed)
		return recording.Result{}, err
	}
	return result, nil
}

// overtime is the constant, but in tests.
func (w *Worker) overtime() time.Duration { return cmp.Or(w.extra, overtime) }

// final says whether the same parts fail in the same way, however often it is tried.
func final(err error) bool {
	return errors.Is(err, errJoin) || errors.Is(err, errMixed) || errors.Is(err, store.ErrTooLarge)
}

// errLeftOut says that the next try is without the part.
var errLeftOut = errors.New("is left out the next time")

// retry repeats what failed until the context ends, or is another thing the next time.
func retry(ctx context.Context, do func() error) error {
	for pause := firstUpload; ; pause = min(2*pause, longestUpload) {
		err := do()
		if err == nil || final(err) {
			return err
		}
		if errors.Is(err, errLeftOut) {
			// There are fewer parts each time.
			continue
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}

// publishAs makes the recording of the parts in the store, in the format of the Config; said is the message of its Result.
func (w *Worker) publishAs(ctx context.Context, config recording.Config, said string) (recording.Result, error) {
	parts, err := w.stored(ctx)
	if err != nil {
		return recording.Result{}, err
	}
	if done, result, err := w.published(ctx, parts); err != nil || done {
		return result, err
	}
	listed := parts
	parts = recording.Sort(parts)
	if len(parts) == 0 {
		return recording.Result{Nothing: true, Message: "no media came"}, nil
	}
	w.sweep(ctx, leftBehind)
	manifest := recording.NewManifest(config, parts)
	object, err := w.put(ctx, config.Format, w.folder()+manifest.Recording, parts)
	if err != nil {
		return recording.Result{}, err
	}
	if config.Format != w.Config.Format {
		if done, result, err := w.overtaken(ctx, object); err != nil || done {
			return result, err
		}
	}
	manifest.SHA256, manifest.SizeBytes, manifest.Complete = object.SHA256, object.Size, true
	text, err := json.MarshalIndent(manifest, "", "  ")
	if err != nil {
		return recording.Result{}, fmt.Errorf("encoding the manifest: %w", err)
	}
	if _, err := w.Store.PutStream(ctx, w.folder()+recording.ManifestName, strings.NewReader(string(text))); err != nil {
		return recording.Result{}, fmt.Errorf("storing the manifest: %w", err)
	}
	if !manifest.NeedsParts() {
		// What is left of them costs room and nothing else. Segments that were stored twice go too.
		w.dropParts(ctx, listed)
	}
	w.sweep(ctx, 0)
	_ = w.Spool.Drop()
	result := w.resultOf(manifest)
	result.Message = said
	return result, nil
}

// overtaken says whether another worker made a file while this one stored a playlist instead, which then has to go: so do its parts.
func (w *Worker) overtaken(ctx context.Context, playlist store.Object) (bool, recording.Result, error) {
	parts, err := w.stored(ctx)
	if err != nil {
		return false, recording.Result{}, err
	}
	done, result, err := w.published(ctx, parts)
	if done && result.URI != w.Store.URI(playlist.Key) {
		if err := w.Store.Delete(ctx, playlist.Key); err != nil {
			w.Log.Warn("Could not drop the playlist that a file took the place of", "error", err)
		}
	}
	return done, result, err
}

// published says whether an earlier try did all but say so. Once parts are dropped the recording must not be made of what is left.
func (w *Worker) published(ctx context.Context, parts []recording.Part) (bool, recording.Result, error) {
	text, err := w.read(ctx, w.folder()+recording.ManifestName)
	if errors.Is(err, store.ErrNotFound) {
		return false, recording.Result{}, nil
	}
	if err != nil {
		return false, recording.Result{}, err
	}
	var manifest recording.Manifest
	if err := json.Unmarshal(text, &manifest); err != nil || !manifest.Complete {
		return false, recording.Result{}, nil //nolint:nilerr // a manifest that cannot be read is made anew
	}
	held, late, whole := manifest.Compare(parts)
	if whole && len(late) > 0 {
		return false, recording.Result{}, nil
	}
	if there, err := w.standsAsTold(ctx, manifest, whole); err != nil || !there {
		return false, recording.Result{}, err
	}
	if len(late) > 0 {
		// The recording holds parts that are gone, and cannot be made with these.
		w.Log.Warn("Parts came after the recording was made; they stay beside it", "parts", len(late))
	}
	if !manifest.NeedsParts() {
		w.dropParts(ctx, held)
	}
	w.sweep(ctx, 0)
	_ = w.Spool.Drop()
	result := w.resultOf(manifest)
	if len(late) > 0 {
		result.Message = fmt.Sprintf("%d parts came after it was made; they are beside it, in %s", len(late), recording.PartsFolder)
	}
	return true, result, nil
}

// standsAsTold says whether the recording is as its manifest says. Where it is not, and not all of its parts are left, nothing can be made
// of it.
func (w *Worker) standsAsTold(ctx context.Context, manifest recording.Manifest, whole bool) (bool, error) {
	object, err := w.Store.Stat(ctx, w.folder()+manifest.Recording)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("looking at the recording: %w", err)
	case object.Size != manifest.SizeBytes && !whole:
		return false, fmt.Errorf("the recording has %d bytes, its manifest says %d, and not all of its parts are left to make it anew", object.Size, manifest.SizeBytes)
	}
	return object.Size == manifest.SizeBytes, nil
}

func (w *Worker) read(ctx context.Context, key string) ([]byte, error) {
	in, err := w.Store.Open(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", key, err)
	}
	defer func() { _ = in.Close() }()
	text, err := io.ReadAll(io.LimitReader(in, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", key, err)
	}
	return text, nil
}

// dropAtOnce is how many parts are dropped at the same time: a long show has tens of thousands.
const dropAtOnce = 16

// dropParts only warns: the recording is complete, whatever is left beside it.
func (w *Worker) dropParts(ctx context.Context, parts []recording.Part) {
	var dropping sync.WaitGroup
	failed := make([]error, len(parts))
	turns := make(chan struct{}, dropAtOnce)
	for i, p := range parts {
		turns <- struct{}{}
		dropping.Go(func() {
			defer func() { <-turns }()
			if err := w.Store.Delete(ctx, w.folder()+recording.PartsFolder+p.Name()); err != nil {
				failed[i] = fmt.Errorf("dropping part %s: %w", p.Name(), err)
			}
		})
	}
	dropping.Wait()
	// One says as much as all of them.
	if err := cmp.Or(failed...); err != nil {
		w.Log.Warn("Could not drop the parts of the recording", "error", err)
	}
}

// leftBehind is how long nothing is written to what nobody writes any more.
const leftBehind = time.Hour

// sweep drops what workers that were killed left half written. When the recording is complete it is all of that: one that is late and
// still writes there tries again, and finds it.
func (w *Worker) sweep(ctx context.Context, unchanged time.Duration) {
	sweeper, is := w.Store.(store.Sweeper)
	if !is {
		return
	}
	for _, folder := range []string{w.folder(), w.folder() + recording.PartsFolder} {
		if err := sweeper.Sweep(ctx, folder, unchanged); err != nil {
			w.Log.Warn("Could not drop what was left half written", "error", err)
		}
	}
}

func (w *Worker) resultOf(m recording.Manifest) recording.Result {
	result := recording.Result{
		Ready: true, URI: w.Store.URI(w.folder() + m.Recording), SHA256: m.SHA256, SizeBytes: m.SizeBytes,
		DurationMilliseconds: int64(m.Seconds * 1000), Parts: len(m.Parts), Gaps: len(m.Gaps),
	}
	for _, g := range m.Gaps {
		result.GapMilliseconds += int64(g.Seconds * 1000)
	}
	if m.NeedsParts() {
		// The playlist is a list of them.
		for _, p := range m.Parts {
			result.SizeBytes += p.Size
		}
	}
	return result
}

func size(parts []recording.Part) (sum int64) {
	for _, p := range parts {
		sum += p.Size
	}
	return sum
}

// put stores the recording itself: a playlist of the parts, or one file that they are copied into while it is stored.
func (w *Worker) put(ctx context.Context, format recording.Format, key string, parts []recording.Part) (store.Object, error) {
	if format == recording.HLS {
		return w.putPlaylist(ctx, key, parts)
	}
	if _, convert := container(format); convert {
		return w.putConverted(ctx, key, parts)
	}
	joined, out := io.Pipe()
	joining := make(chan error, 1)
	go func() {
		err := w.join(ctx, parts, out)
		if err == nil {
			// Before the store has all of it, and puts it in place of what is there.
			err = w.alone(ctx, parts)
		}
		_ = out.CloseWithError(err)
		joining <- err
	}()
	object, err := w.Store.PutStream(ctx, key, store.Sized{Reader: joined, About: size(parts)})
	_ = joined.CloseWithError(errLetGo)
	if first := <-joining; first != nil && !errors.Is(first, errLetGo) {
		// The store's error repeats it.
		return object, first
	}
	if err != nil {
		return object, fmt.Errorf("storing the recording: %w", err)
	}
	return object, nil
}

func (w *Worker) putPlaylist(ctx context.Context, key string, parts []recording.Part) (store.Object, error) {
	object, err := w.Store.PutStream(ctx, key, strings.NewReader(recording.Playlist(parts)))
	if err != nil {
		return object, fmt.Errorf("storing the playlist: %w", err)
	}
	return object, nil
}

// alone fails where parts are gone: another worker made the recording meanwhile, which may hold more than these.
func (w *Worker) alone(ctx context.Context, parts []recording.Part) error {
	listed, err := w.stored(ctx)
	if err != nil {
		return err
	}
	left := map[string]bool{}
	for _, p := range listed {
		left[p.Name()] = true
	}
	for _, p := range parts {
		if !left[p.Name()] {
			return fmt.Errorf("part %s was dropped while the recording was made", p.Name())
		}
	}
	return nil
}

// putConverted makes the file in the spool, which needs the room for it: its beginning is written last.
func (w *Worker) putConverted(ctx context.Context, key string, parts []recording.Part) (store.Object, error) {
	file := filepath.Join(w.Spool.dir, recording.FileName(w.Config.Format))
	defer func() { _ = os.Remove(file) }()
	if err := w.convert(ctx, parts, file); err != nil {
		return store.Object{}, err
	}
	if err := w.alone(ctx, parts); err != nil {
		return store.Object{}, err
	}
	object, err := w.Store.Put(ctx, key, file)
	if err != nil {
		return object, fmt.Errorf("storing the recording: %w", err)
	}
	return object, nil
}

// convert joins the parts into a file of a format that fragmented MP4 has to be converted into.
func (w *Worker) convert(ctx context.Context, parts []recording.Part, file string) error {
	into, _ := container(w.Config.Format)
	arguments, err := ffmpeg.Convert(into, file)
	if err != nil {
		return err
	}
	joined, in := io.Pipe()
	joining := make(chan error, 1)
	go func() {
		err := w.join(ctx, parts, in)
		_ = in.CloseWithError(err)
		joining <- err
	}()
	err = w.ffmpeg(ctx, arguments, joined, nil)
	_ = joined.CloseWithError(errLetGo)
	if first := <-joining; first != nil && !errors.Is(first, errLetGo) {
		return first
	}
	return joinFailed(err)
}

// bounded keeps the Result within what a Pod's status takes.
func bounded(text string) string {
	const longest = 1000
	if len(text) > longest {
		return strings.ToValidUTF8(text[:longest], "") + "..."
	}
	return text
}
