// Package mpegts reads and moves the timestamps of MPEG transport streams, without decoding anything. It is what joins the parts
// of a recording into one: each connect to a live service begins its clock anew, and a player needs one clock.
//
// Source: ISO/IEC 13818-1 (2019), 2.4.3.2 (transport packet), 2.4.3.4 (adaptation field, PCR), 2.4.3.6 (PES header).
package mpegts

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"time"
)

const (
	// PacketSize of a transport packet in bytes.
	PacketSize = 188
	syncByte   = 0x47
	// clock is 90 kHz; timestamps have 33 bits and wrap after 26.5 hours.
	clock = 90000
	wrap  = int64(1) << 33
	// frame is how long a stream of one timestamp lasts: nothing tells, and a frame of 25 a second is near enough.
	frame = int64(clock / 25)
)

// ErrNoStream means that there is no transport stream, or no picture and no sound with a timestamp in it.
var ErrNoStream = errors.New("no MPEG transport stream")

// Ticks is a time on the 90 kHz clock of a stream. It grows past the 33 bits of the file.
type Ticks int64

// Duration of a number of ticks.
func (t Ticks) Duration() time.Duration { return time.Duration(t) * time.Second / clock }

// Near is the timestamp with the wraps that bring it closest to another: pieces of one clock that follow each other are less than 13
// hours long.
func (t Ticks) Near(other Ticks) Ticks { return Ticks(near(int64(t), int64(other))) }

// Info is what a piece of a stream holds.
type Info struct {
	// First is the smallest timestamp, End the largest with the length of its frame added.
	First, End Ticks
	// Length is that of its video, or of its audio where it has none: audio is cut elsewhere than video, so that pieces overlap.
	Length Ticks
	// Keyframe says whether the first frame of video can be decoded alone, as its packet tells.
	Keyframe bool
	// VideoPID and AudioPID are those of the first such stream that the table lists and that comes; 0 where there is none.
	VideoPID, AudioPID uint16
	// AAC says that the audio of AudioPID is AAC with ADTS headers, as the table says.
	AAC bool
	// VideoCodec and AudioCodec of these tell codecs apart, and what a file has one header for: the tables do, the headers of AAC, and the first
	// sequence parameter set of H.264 or H.265. The low byte is the type in the table, the others are 0 where no header is known, and all is 0 where
	// there is none, or it is not known.
	VideoCodec, AudioCodec uint32
	// Packets counts whole transport packets.
	Packets int64
}

// Duration is what the piece adds to a recording.
func (i Info) Duration() time.Duration { return i.Length.Duration() }

// Scan reads a piece to its end. Half a packet at the end, as a writer that was killed leaves it, is left out.
func Scan(r io.Reader) (Info, error) {
	s := scanner{streams: map[uint16]*elementary{}, types: map[uint16]listed{}}
	for p, err := range packets(r) {
		if err != nil {
			return Info{}, err
		}
		s.read(p)
	}
	return s.info()
}

// Move copies a piece with all its timestamps moved by so many ticks. Half a packet at the end is left out.
func Move(w io.Writer, r io.Reader, by Ticks) error {
	out := bufio.NewWriterSize(w, 64*PacketSize)
	for p, err := range packets(r) {
		if err != nil {
			return err
		}
		move(p, int64(by))
		if _, err := out.Write(p); err != nil {
			return fmt.Errorf("writing a transport packet: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing transport packets: %w", err)
	}
	return nil
}

// packets yields the transport packets of a reader, each valid until the next. Bytes between them, as after a break, are skipped.
func packets(r io.Reader) func(func([]byte, error) bool) {
	return func(yield func([]byte, error) bool) {
		in := bufio.NewReaderSize(r, 64*PacketSize)
		for {
			// A reader that broke may say so with an error that wraps io.EOF: only the bare one is the end.
			switch head, err := in.Peek(1); {
			case err == io.EOF:
				return
			case err != nil:
				yield(nil, fmt.Errorf("reading a transport stream: %w", err))
				return
			case head[0] != syncByte:
				_, _ = in.Discard(1)
				continue
			}
			packet, err := in.Peek(PacketSize)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("reading a transport stream: %w", err))
				return
			}
			if !yield(packet, nil) {
				return
			}
			_, _ = in.Discard(PacketSize)
		}
	}
}

// elementary is what is known of one elementary stream.
type elementary struct {
	kind        byte
	first, last int64
	// header is of the configuration in the first header of AAC, or of the first sequence parameter set of a picture; 0 where there is none, as the low
	// byte is always.
	header uint32
	// step is the smallest distance of two timestamps, the length of a frame.
	step int64
}

type scanner struct {
	streams map[uint16]*elementary
	packets int64
	// origin is the first timestamp of all: the others are unwrapped near it.
	origin   int64
	begun    bool
	keyframe bool
	video    bool
	table    uint16
	// types are the streams that the table lists.
	types map[uint16]listed
}

// listed is what the table says of a stream: its type, and how many it lists up to this one.
type listed struct {
	codec byte
	place int
}

func (s *scanner) read(p []byte) {
	s.packets++
	pes := payload(p)
	pid := uint16(p[1]&0x1f)<<8 | uint16(p[2])
	if p[1]&0x40 != 0 && (pid == 0 || pid == s.table) {
		s.readTable(pid, pes)
		return
	}
	if p[1]&0x40 == 0 || !isPES(pes) {
		return
	}
	at := timestamp(pes)
	if at < 0 {
		return
	}
	if !s.begun {
		s.begun, s.origin = true, at
	}
	at = near(at, s.origin)
	e, known := s.streams[pid]
	if !known {
		e = &elementary{kind: pes[3] & 0xf0, first: at, last: at, header: adts(pes)}
		s.streams[pid] = e
		if isVideo(pes[3]) && !s.video {
			s.video, s.keyframe = true, randomAccess(p)
		}
	}
	if e.header == 0 {
		e.header = sequence(s.types[pid].codec, pes)
	}
	if step := at - e.last; step > 0 && (e.step == 0 || step < e.step) {
		e.step = step
	}
	e.first, e.last = min(e.first, at), max(e.last, at)
}

// typeAAC is the stream type of AAC with ADTS headers. Source: ISO/IEC 13818-1, table 2-34.
const typeAAC = 0x0f

// typeMetadata is that of timed metadata, which is neither picture nor sound. Source: as above.
const typeMetadata = 0x15

// adts is what the header of AAC at the begin of a frame says of profile, sample rate and channels. Source: ISO/IEC 14496-3, 1.A.2.2.
func adts(pes []byte) uint32 {
	at := 9 + int(pes[8])
	if at+4 > len(pes) || pes[at] != 0xff || pes[at+1]&0xf6 != 0xf0 {
		return 0
	}
	return uint32(pes[at+2]&0xfd)<<16 | uint32(pes[at+3]&0xc0)<<8
}

// typeH264 and typeH265 are the stream types of these. Source: as above.
const typeH264, typeH265 = 0x1b, 0x24

// sequence is a digest of the sequence parameter set in the packet that begins a frame: it tells size and profile of the picture, and an encoder that
// is set up alike writes the same. 0 where the packet holds none, or not all of it.
// Source: ISO/IEC 14496-10 and 23008-2, 7.3.1, 7.4.1 and annex B.
func sequence(codec byte, pes []byte) uint32 {
	startCode := []byte{0, 0, 1}
	units := bytes.Split(pes[min(9+int(pes[8]), len(pes)):], startCode)
	// What follows the last start code may go on in the next packet.
	for i := 1; i < len(units)-1; i++ {
		unit := bytes.TrimRight(units[i], "\x00")
		if len(unit) > 0 && (codec == typeH264 && unit[0]&0x1f == 7 || codec == typeH265 && unit[0]>>1&0x3f == 33) {
			digest := fnv.New32a()
			_, _ = digest.Write(unit)
			return digest.Sum32() << 8
		}
	}
	return 0
}

// readTable reads the program association table, which is PID 0, or the program map table that it names, of which each is one
// packet long in practice.
func (s *scanner) readTable(pid uint16, section []byte) {
	if len(section) == 0 || 1+int(section[0])+12 > len(section) {
		return
	}
	section = section[1+int(section[0]):]
	length := 3 + int(section[1]&0x0f)<<8 + int(section[2]) - 4
	if length > len(section) {
		return
	}
	section = section[:max(length, 0)]
	switch {
	case pid == 0:
		for at := 8; at+4 <= len(section); at += 4 {
			if program := uint16(section[at])<<8 | uint16(section[at+1]); program != 0 {
				s.table = uint16(section[at+2]&0x1f)<<8 | uint16(section[at+3])
			}
		}
	case len(section) >= 12:
		at := 12 + int(section[10]&0x0f)<<8 + int(section[11])
		for ; at+5 <= len(section); at += 5 + int(section[at+3]&0x0f)<<8 + int(section[at+4]) {
			pid := uint16(section[at+1]&0x1f)<<8 | uint16(section[at+2])
			place := s.types[pid].place
			if place == 0 {
				place = len(s.types) + 1
			}
			s.types[pid] = listed{section[at], place}
		}
	}
}

func (s *scanner) info() (Info, error) {
	pids := s.inOrder()
	if len(pids) == 0 {
		return Info{Packets: s.packets}, ErrNoStream
	}
	i := Info{First: 1 << 62, Packets: s.packets, Keyframe: s.keyframe}
	for _, pid := range pids {
		e, codec := s.streams[pid], s.types[pid].codec
		switch {
		case isVideo(e.kind) && i.VideoPID == 0:
			i.VideoPID, i.VideoCodec = pid, uint32(codec)|e.header
		case !isVideo(e.kind) && i.AudioPID == 0:
			i.AudioPID, i.AAC = pid, codec == typeAAC
			if codec != 0 {
				i.AudioCodec = uint32(codec) | e.header
			}
		}
		step := e.step
		if step == 0 {
			step = frame
		}
		if length := Ticks(e.last + step - e.first); isVideo(e.kind) || !s.video {
			i.Length = max(i.Length, length)
		}
		i.First, i.End = min(i.First, Ticks(e.first)), max(i.End, Ticks(e.last+step))
	}
	return i, nil
}

// inOrder are the PIDs of the pictures and sound that come, as the table lists them; those that it does not list are last.
func (s *scanner) inOrder() []uint16 {
	place := func(pid uint16) int { return cmp.Or(s.types[pid].place, 1<<16) }
	pids := slices.SortedFunc(maps.Keys(s.streams), func(a, b uint16) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b))
	})
	return slices.DeleteFunc(pids, func(pid uint16) bool { return s.types[pid].codec == typeMetadata })
}

// near is the timestamp with the wraps that bring it closest to another.
func near(at, origin int64) int64 {
	for at-origin > wrap/2 {
		at -= wrap
	}
	for origin-at > wrap/2 {
		at += wrap
	}
	return at
}

// payload of a packet, nil when it has none.
func payload(p []byte) []byte {
	at := 4
	if p[3]&0x20 != 0 {
		at += 1 + int(p[4])
	}
	if p[3]&0x10 == 0 || at >= PacketSize {
		return nil
	}
	return p[at:]
}

// isPES says whether an elementary stream of audio or video begins a packet here whose header is whole.
func isPES(pes []byte) bool {
	return len(pes) >= 14 && pes[0] == 0 && pes[1] == 0 && pes[2] == 1 && (isVideo(pes[3]) || isAudio(pes[3])) && pes[6]&0xc0 == 0x80
}

func isVideo(id byte) bool { return id&0xf0 == 0xe0 }

// isAudio takes private stream 1 (0xbd) too, which carries AC-3 and Opus.
func isAudio(id byte) bool { return id&0xe0 == 0xc0 || id == 0xbd }

// timestamp is the DTS, or the PTS where there is no DTS; -1 where there is neither.
func timestamp(pes []byte) int64 {
	switch flags := pes[7] >> 6; {
	case flags == 3 && len(pes) >= 19:
		return decode(pes[14:19])
	case flags >= 2:
		return decode(pes[9:14])
	default:
		return -1
	}
}

func randomAccess(p []byte) bool { return p[3]&0x20 != 0 && p[4] > 0 && p[5]&0x40 != 0 }

func decode(b []byte) int64 {
	return int64(b[0]>>1&7)<<30 | int64(b[1])<<22 | int64(b[2]>>1)<<15 | int64(b[3])<<7 | int64(b[4]>>1)
}

//nolint:gosec // bits of a timestamp
func encode(b []byte, at int64) {
	b[0] = b[0]&0xf1 | byte(at>>30&7)<<1
	b[1] = byte(at >> 22)
	b[2] = b[2]&1 | byte(at>>15&0x7f)<<1
	b[3] = byte(at >> 7)
	b[4] = b[4]&1 | byte(at&0x7f)<<1
}

//nolint:gosec // bits of a timestamp
func move(p []byte, by int64) {
	if p[3]&0x20 != 0 && p[4] >= 7 && p[5]&0x10 != 0 {
		pcr := p[6:12]
		base := int64(pcr[0])<<25 | int64(pcr[1])<<17 | int64(pcr[2])<<9 | int64(pcr[3])<<1 | int64(pcr[4]>>7)
		base = (base + by) & (wrap - 1)
		pcr[0], pcr[1], pcr[2], pcr[3] = byte(base>>25), byte(base>>17), byte(base>>9), byte(base>>1)
		pcr[4] = pcr[4]&0x7f | byte(base&1)<<7
	}
	pes := payload(p)
	if p[1]&0x40 == 0 || !isPES(pes) {
		return
	}
	flags := pes[7] >> 6
	if flags >= 2 {
		encode(pes[9:14], (decode(pes[9:14])+by)&(wrap-1))
	}
	if flags == 3 && len(pes) >= 19 {
		encode(pes[14:19], (decode(pes[14:19])+by)&(wrap-1))
	}
}
