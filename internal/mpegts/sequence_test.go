package mpegts

import (
	"strings"
	"testing"
)

// A file has one header for its picture, which is that of the first part.
func TestThePictureOfAnotherEncoderIsAnotherCodec(t *testing.T) {
	t.Parallel()
	const (
		aud, sps, other, pps, slice = "\x09\xf0", "\x67\x64\x00\x1fabc", "\x67\x64\x00\x28abc", "\x68\xeb", "\x65\x88slice"
		hevcVPS, hevcSPS, hevcOther = "\x40\x01vps", "\x42\x01sps", "\x42\x01other"
	)
	long := sps + strings.Repeat("x", PacketSize)
	// units writes an access unit with start codes of three or four bytes.
	units := func(startCode string, of ...string) string { return startCode + strings.Join(of, startCode) }
	codec := func(kind byte, frames ...string) uint32 {
		s := &stream{}
		s.lists([]byte{kind, 1, 0})
		for i, f := range frames {
			header := []byte{0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1}
			encode(header[9:14], int64(i)*3600)
			header = append(header, f...)
			s.packet(video, nil, header[:min(len(header), PacketSize-4)])
		}
		info, err := Scan(s)
		if err != nil {
			t.Fatal(err)
		}
		return info.VideoCodec
	}
	three, four := "\x00\x00\x01", "\x00\x00\x00\x01"
	h264, h265 := codec(typeH264, units(three, aud, sps, pps, slice)), codec(typeH265, units(three, hevcVPS, hevcSPS, pps, slice))
	if h264&0xff != typeH264 || h264>>8 == 0 || h265&0xff != typeH265 || h265>>8 == 0 {
		t.Fatalf("H.264 is %#x, H.265 %#x", h264, h265)
	}
	for name, row := range map[string]struct {
		got, want uint32
		other     bool
	}{
		"the same":                       {codec(typeH264, units(four, aud, sps, pps, slice+"other")), h264, false},
		"the same without a delimiter":   {codec(typeH264, units(four, sps, pps, slice)), h264, false},
		"it comes with the second frame": {codec(typeH264, units(three, slice), units(three, aud, sps, pps, slice)), h264, false},
		"the first one counts":           {codec(typeH264, units(three, sps, pps, slice), units(three, other, pps, slice)), h264, false},
		"another":                        {codec(typeH264, units(three, aud, other, pps, slice)), h264, true},
		"none":                           {codec(typeH264, units(three, aud, slice)), typeH264, false},
		"it goes on in the next packet":  {codec(typeH264, units(three, aud, long, pps)), typeH264, false},
		"another, of H.265":              {codec(typeH265, units(four, hevcVPS, hevcOther, pps, slice)), h265, true},
		"the same, of H.265":             {codec(typeH265, units(four, hevcVPS, hevcSPS, pps, slice)), h265, false},
		"what is neither":                {codec(0x02, units(three, aud, sps, pps, slice)), 0x02, false},
		"nothing but a header":           {codec(typeH264, ""), typeH264, false},
	} {
		if (row.got != row.want) != row.other || row.got&0xff != row.want&0xff {
			t.Errorf("%s: %#x after %#x", name, row.got, row.want)
		}
	}
}
