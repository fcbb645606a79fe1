package camera

import (
	"errors"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestAPictureSaysWhichFrameItIs(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	picture := make([]byte, Width*Height)
	for range 200 {
		want := Frame{Push: uint8(random.Uint32()), At: random.Uint32()}
		want.paint(picture)
		for i := range picture {
			// An encoder's noise.
			picture[i] = uint8(min(max(int(picture[i])+random.IntN(60)-30, 0), 255))
		}
		if got, err := read(picture); got != want || err != nil {
			t.Fatalf("%+v is read as %+v, %v", want, got, err)
		}
	}
}

func TestAnotherPictureIsNoFrame(t *testing.T) {
	t.Parallel()
	for _, shade := range []byte{0, 16, 128, 255} {
		picture := make([]byte, Width*Height)
		for i := range picture {
			picture[i] = shade
		}
		if got, err := read(picture); !errors.Is(err, errUnreadable) {
			t.Errorf("a picture of %d is read as %+v", shade, got)
		}
	}
}

func TestATimeIsTheOneNearby(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1<<40 + 5)
	for _, off := range []time.Duration{0, time.Second, -time.Hour, 20 * 24 * time.Hour} {
		want := now.Add(off)
		if got := (Frame{At: uint32(want.UnixMilli())}).Time(now); !got.Equal(want) {
			t.Errorf("%s from now is read as %s", off, got.Sub(now))
		}
	}
}

func TestWhatIsMissingIsCountedWhereItIsMissing(t *testing.T) {
	t.Parallel()
	f := func(at ...uint32) (frames []Frame) {
		for _, a := range at {
			frames = append(frames, Frame{At: a})
		}
		return frames
	}
	published := f(1, 2, 3, 4, 5, 6, 7, 8)
	for name, c := range map[string]struct {
		recorded []Frame
		want     Difference
	}{
		"all":              {published, Difference{}},
		"none":             {nil, Difference{Tail: 8}},
		"the ends":         {f(3, 4, 5, 6, 7), Difference{Head: 2, Tail: 1}},
		"in the middle":    {f(1, 2, 5, 8), Difference{Middle: 4}},
		"again":            {f(1, 2, 2, 3, 4, 5, 6, 7, 8), Difference{Twice: 1}},
		"out of order":     {f(1, 3, 2, 4, 5, 6, 7, 8), Difference{Backwards: 1}},
		"what nobody sent": {append(f(1, 2, 3, 4, 5, 6, 7, 8), Frame{Push: 1, At: 9}), Difference{Foreign: 1}},
	} {
		if got := Compare(published, c.recorded); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestWhatIsPublishedIsReadBack(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("ffmpeg is not installed; on Debian: apt-get install ffmpeg")
	}
	file := filepath.Join(t.TempDir(), "camera.flv")
	published, err := Camera{Push: 7}.Publish(t.Context(), file, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := Read(t.Context(), file)
	if err != nil || !slices.Equal(published, recorded) || len(published) != 2*FramesPerSecond {
		t.Errorf("%d frames were published and %d read: %v", len(published), len(recorded), err)
	}
}
