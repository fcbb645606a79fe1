// Package camera publishes a stream whose frames say when they were published, and reads that back from whatever became of them: what
// is lost is counted in frames that are known by name, not in seconds that a container claims.
package camera

import (
	"errors"
	"time"
)

// What a camera publishes, if it is not told otherwise: a key frame twice a second.
const (
	Width           = 320
	Height          = 180
	FramesPerSecond = 30
	keyFrames       = FramesPerSecond / 2
)

// Frame is what a frame says of itself. No two frames of one test are the same.
type Frame struct {
	// Push is the camera's number.
	Push uint8
	// At is when it was published, in milliseconds of Unix time, as far as 32 bits go.
	At uint32
}

// Time is when the frame was published; near tells which of the times that 32 bits can mean, one each 49 days.
func (f Frame) Time(near time.Time) time.Time {
	now := near.UnixMilli()
	return time.UnixMilli(now + int64(int32(f.At-uint32(now)))) //nolint:gosec // a difference of numbers that wrap
}

// A frame's code has 3 rows of 16 bits: the push, the time, and a sum. A bit is as large as a macroblock, so that it outlives any encoder.
const (
	rows, columns           = 3, 16
	blockWidth, blockHeight = Width / columns, 16
	// codeHeight is that of the rows together.
	codeHeight        = rows * blockHeight
	dark, light, grey = 32, 224, 96
)

func (f Frame) code() uint64 {
	body := uint64(f.Push)<<32 | uint64(f.At)
	return body<<8 | uint64(sum(body))
}

// sum is not zero for zero, so that a black picture is no frame of ours.
func sum(body uint64) uint8 {
	s := uint8(0x5a)
	for ; body > 0; body >>= 8 {
		s = s<<3 | s>>5
		s ^= uint8(body)
	}
	return s
}

// paint fills a picture: the code on top, and below it a bar that moves.
func (f Frame) paint(picture []byte) {
	code := f.code()
	for y := range Height {
		line := picture[y*Width : (y+1)*Width]
		for x := range line {
			switch {
			case y >= codeHeight && (x+Width-int(f.At/20%Width))%Width < blockWidth:
				line[x] = light
			case y >= codeHeight:
				line[x] = grey
			case code>>(y/blockHeight*columns+x/blockWidth)&1 == 1:
				line[x] = light
			default:
				line[x] = dark
			}
		}
	}
}

// errUnreadable means that a picture holds no code.
var errUnreadable = errors.New("the picture does not say which frame it is")

// read reads the code off the top of a picture.
func read(top []byte) (Frame, error) {
	var code uint64
	for bit := range rows * columns {
		// What is in the middle of a block is not blurred by its neighbours.
		x, y := bit%columns*blockWidth+blockWidth/4, bit/columns*blockHeight+blockHeight/4
		light := 0
		for dy := range blockHeight / 2 {
			for dx := range blockWidth / 2 {
				light += int(top[(y+dy)*Width+x+dx])
			}
		}
		if light/(blockHeight/2*(blockWidth/2)) > 128 {
			code |= 1 << bit
		}
	}
	body := code >> 8
	if sum(body) != uint8(code) {
		return Frame{}, errUnreadable
	}
	return Frame{Push: uint8(body >> 32), At: uint32(body)}, nil
}

// Difference is what became of the published frames.
type Difference struct {
	// Head are those that are missing before the first recorded one of their push, Tail those after the last, Middle the others.
	Head, Middle, Tail int
	// Twice are recorded again, Backwards come after a later one, and Foreign were never published or are of another push.
	Twice, Backwards, Foreign int
}

// Missing frames in all.
func (d Difference) Missing() int { return d.Head + d.Middle + d.Tail }

// Lost is how much media is missing, in seconds.
func (d Difference) Lost() float64 { return float64(d.Missing()) / FramesPerSecond }

// Wrong says whether there is more than was published, or in another order.
func (d Difference) Wrong() bool { return d.Twice+d.Backwards+d.Foreign > 0 }

// Compare looks for the frames of one push in a recording.
func Compare(published, recorded []Frame) Difference {
	var d Difference
	there := map[Frame]int{}
	var before Frame
	for i, f := range recorded {
		if i > 0 && int32(f.At-before.At) < 0 { //nolint:gosec // a difference of numbers that wrap
			d.Backwards++
		}
		there[f]++
		before = f
	}
	known := map[Frame]bool{}
	missing, begun := 0, false
	for _, f := range published {
		known[f] = true
		if there[f] == 0 {
			missing++
			continue
		}
		d.Twice += there[f] - 1
		if begun {
			d.Middle += missing
		} else {
			d.Head = missing
		}
		missing, begun = 0, true
	}
	d.Tail = missing
	for f, n := range there {
		if !known[f] {
			d.Foreign += n
		}
	}
	return d
}
