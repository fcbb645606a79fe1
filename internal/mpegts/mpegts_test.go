package mpegts

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// stream writes transport packets as ISO/IEC 13818-1 says.
type stream struct{ bytes.Buffer }

func (s *stream) packet(pid uint16, adaptation, payload []byte) {
	p := []byte{syncByte, 0x40 | byte(pid>>8), byte(pid), 0x10}
	if room := PacketSize - 4 - len(payload); room > 0 {
		p[3] = 0x30
		field := make([]byte, room)
		field[0] = byte(room - 1)
		copy(field[1:], adaptation)
		for i := max(1+len(adaptation), 2); i < room; i++ {
			field[i] = 0xff
		}
		p = append(p, field...)
	}
	s.Write(append(p, payload...))
}

// pes begins a frame of a stream with PTS and DTS; without a DTS where it is negative.
func (s *stream) pes(pid uint16, id byte, pts, dts int64, adaptation ...byte) {
	header := []byte{0, 0, 1, id, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1}
	if dts >= 0 {
		header[7], header[8], header[9] = 0xc0, 10, 0x31
		header = append(header, 0x11, 0, 1, 0, 1)
		encode(header[14:19], dts)
	}
	encode(header[9:14], pts)
	s.packet(pid, adaptation, append(header, "frame"...))
}

// tables write a PAT and a PMT with H.264 on PID 256 and the given stream type on PID 257.
func (s *stream) tables(audio byte) { s.lists([]byte{0x1b, 1, 0}, []byte{audio, 1, 1}) }

// lists writes a PAT and a PMT of streams: each a type and the two bytes of its PID.
func (s *stream) lists(streams ...[]byte) {
	s.packet(0, nil, []byte{0, 0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xf0, 0x00, 0, 0, 0, 0})
	table := []byte{0, 2, 0xb0, byte(13 + 5*len(streams)), 0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 0}
	for _, one := range streams {
		table = append(table, one[0], 0xe0|one[1], one[2], 0xf0, 0)
	}
	s.packet(0x1000, nil, append(table, 0, 0, 0, 0))
}

const video, audio = 256, 257

// second is a second of 25 frames of video from a time on, in decoding order, and of audio that begins later.
func second(from int64, codec byte) *stream {
	s := &stream{}
	s.tables(codec)
	for i := range int64(25) {
		key := byte(0)
		if i == 0 {
			key = 0x40
		}
		s.pes(video, 0xe0, (from+(i+2)*3600)&(wrap-1), (from+i*3600)&(wrap-1), key)
		if i%5 == 0 {
			s.pes(audio, 0xc0, (from+1800+i*3600)&(wrap-1), -1)
		}
	}
	return s
}

func TestAPieceTellsItsTimes(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]int64{"at zero": 0, "in the middle": 123456789, "over the wrap": wrap - 45000} {
		got, err := Scan(second(from, typeAAC))
		want := Info{First: Ticks(from), End: Ticks(from + 25*3600 + 1800 - 3600 + 3600*0 + 14400), Length: 90000, Keyframe: true, VideoPID: video, AudioPID: audio, AAC: true, VideoCodec: 0x1b, AudioCodec: typeAAC, Packets: 32}
		// The last audio begins at 1800+20*3600, and is as long as the distance of two.
		want.End = Ticks(from + 1800 + 20*3600 + 5*3600)
		if diff := gocmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
		if got.Duration() != time.Second {
			t.Errorf("%s: Duration = %s", name, got.Duration())
		}
	}
}

func TestTheClockGoesOnOverItsWraps(t *testing.T) {
	t.Parallel()
	const hour = Ticks(3600 * clock)
	last := Ticks(wrap) - hour
	for i := range 10 {
		want := last + 10*hour
		got := (want & Ticks(wrap-1)).Near(last)
		if got != want {
			t.Fatalf("step %d: %d after %d, want %d", i+1, got, last, want)
		}
		last = got
	}
}

func TestOtherAudioIsNoAAC(t *testing.T) {
	t.Parallel()
	if info, err := Scan(second(0, 0x03)); err != nil || info.AAC || info.AudioPID != audio {
		t.Errorf("%+v, %v", info, err)
	}
}

// A player takes the first of a kind, and what a file has of a stream that does not come is nothing.
func TestOfEachKindTheFirstThatTheTableListsAndThatComesCounts(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		comes []uint16
		want  Info
	}{
		"all":                   {[]uint16{257, 258, 259}, Info{AudioPID: 259, AudioCodec: 0x03}},
		"not the first":         {[]uint16{257, 258}, Info{AudioPID: 258, AudioCodec: typeAAC, AAC: true}},
		"one that is listed":    {[]uint16{255, 257}, Info{AudioPID: 257, AudioCodec: 0x81}},
		"none that is listed":   {[]uint16{254, 255}, Info{AudioPID: 254}},
		"a picture and a sound": {[]uint16{256, 257}, Info{VideoPID: 256, VideoCodec: 0x1b, AudioPID: 257, AudioCodec: 0x81}},
	} {
		s := &stream{}
		s.lists([]byte{0x03, 1, 3}, []byte{typeAAC, 1, 2}, []byte{0x1b, 1, 0}, []byte{0x81, 1, 1})
		for _, pid := range row.comes {
			id := byte(0xc0)
			if pid == video {
				id = 0xe0
			}
			s.pes(pid, id, 0, -1)
		}
		got, err := Scan(s)
		got = Info{VideoPID: got.VideoPID, VideoCodec: got.VideoCodec, AudioPID: got.AudioPID, AudioCodec: got.AudioCodec, AAC: got.AAC}
		if diff := gocmp.Diff(row.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// A radio's titles come once in a while, as timed metadata.
func TestTimedMetadataIsNoSound(t *testing.T) {
	t.Parallel()
	const titles = 258
	piece := func(comes ...uint16) *stream {
		s := &stream{}
		s.lists([]byte{typeMetadata, 1, 2}, []byte{typeAAC, 1, 1})
		for _, pid := range comes {
			for i := range int64(10) {
				if pid == audio {
					s.pes(audio, 0xc0, 90000+i*9000, -1)
				} else if i%5 == 0 {
					s.pes(titles, 0xbd, i*36000, -1)
				}
			}
		}
		return s
	}
	want, err := Scan(piece(audio))
	if err != nil {
		t.Fatal(err)
	}
	want.Packets += 2
	got, err := Scan(piece(titles, audio))
	if diff := gocmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if info, err := Scan(piece(titles)); !errors.Is(err, ErrNoStream) {
		t.Errorf("titles alone: %+v, %v", info, err)
	}
}

func TestAPieceThatIsMovedIsTheSameLaterOrEarlier(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		from, by := random.Int64N(wrap), random.Int64N(wrap)-wrap/2
		before := second(from, typeAAC)
		want, err := Scan(bytes.NewReader(before.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		var moved, back bytes.Buffer
		if err := Move(&moved, bytes.NewReader(before.Bytes()), Ticks(by)); err != nil {
			t.Fatal(err)
		}
		got, err := Scan(bytes.NewReader(moved.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if delta := (int64(got.First) - int64(want.First) - by) & (wrap - 1); delta != 0 || got.Length != want.Length || got.End-got.First != want.End-want.First {
			t.Fatalf("from %d by %d: %+v became %+v", from, by, want, got)
		}
		if err := Move(&back, bytes.NewReader(moved.Bytes()), Ticks(-by)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before.Bytes(), back.Bytes()) {
			t.Fatalf("moved by %d and back it is another", by)
		}
	}
}

func TestTheProgramClockIsMovedToo(t *testing.T) {
	t.Parallel()
	s := &stream{}
	// PCR base 90000: flags 0x10, then 33 bits of base, 6 reserved, 9 of extension.
	s.pes(video, 0xe0, 90000, -1, 0x10, 0, 0, 0xaf, 0xc8, 0x7e, 0x07)
	var moved bytes.Buffer
	if err := Move(&moved, bytes.NewReader(s.Bytes()), 90001); err != nil {
		t.Fatal(err)
	}
	// 180001 = 0x2bf21: its last bit stands before the reserved ones, which stay with the extension.
	if got, want := moved.Bytes()[6:12], []byte{0, 1, 0x5f, 0x90, 0xfe, 0x07}; !bytes.Equal(got, want) {
		t.Errorf("PCR = % x, want % x", got, want)
	}
}

func TestWhatAKilledWriterLeftIsRead(t *testing.T) {
	t.Parallel()
	whole := second(0, typeAAC).Bytes()
	cut := whole[:len(whole)-100]
	info, err := Scan(bytes.NewReader(cut))
	if err != nil || info.Packets != 31 {
		t.Errorf("%+v, %v", info, err)
	}
	var out bytes.Buffer
	if err := Move(&out, bytes.NewReader(cut), 0); err != nil || out.Len() != 31*PacketSize {
		t.Errorf("%d bytes, %v", out.Len(), err)
	}
	noise := append([]byte("noise"), whole...)
	if info, err := Scan(bytes.NewReader(noise)); err != nil || info.Packets != 32 {
		t.Errorf("after noise: %+v, %v", info, err)
	}
}

func TestWhatIsNoStreamSaysSo(t *testing.T) {
	t.Parallel()
	onlyTables := &stream{}
	onlyTables.tables(typeAAC)
	for name, content := range map[string][]byte{"nothing": nil, "text": []byte("<html>"), "half a packet": {syncByte, 1}, "tables alone": onlyTables.Bytes()} {
		if _, err := Scan(bytes.NewReader(content)); !errors.Is(err, ErrNoStream) {
			t.Errorf("%s: error = %v", name, err)
		}
	}
}

func FuzzNothingThatIsReadPanics(f *testing.F) {
	f.Add(second(0, typeAAC).Bytes())
	f.Fuzz(func(t *testing.T, content []byte) {
		_, _ = Scan(bytes.NewReader(content))
		var out bytes.Buffer
		if err := Move(&out, bytes.NewReader(content), 12345); err != nil {
			t.Fatal(err)
		}
		if out.Len()%PacketSize != 0 || out.Len() > len(content) {
			t.Errorf("%d bytes of %d", out.Len(), len(content))
		}
	})
}
