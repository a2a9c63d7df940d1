package nlmsg

import (
	"encoding/hex"
	"strings"
	"testing"
)

func mustHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decodeString(proto int, b []byte) string {
	msgs := Decode(proto, b)
	s := make([]string, len(msgs))
	for i := range msgs {
		s[i] = msgs[i].String()
	}
	return strings.Join(s, " ; ")
}

// The bytes are little-endian, as on every host that CI has.
func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		name  string
		proto int
		bytes string
		want  string
	}{
		{"nothing", Route, "", ""},
		{"short", Route, "0102", "hex:0102"},
		{"noop", Route, "10000000 0100 0500 01000000 02000000", "NLMSG_NOOP REQUEST|ACK seq=1 pid=2"},
		{"len too small", Route, "0f000000 0100 0500 01000000 00000000 ff",
			"NLMSG_NOOP REQUEST|ACK seq=1 pid=0 len=15 hex:ff"},
		{"len too large", Route, "ffffffff 0100 0500 01000000 00000000",
			"NLMSG_NOOP REQUEST|ACK seq=1 pid=0 len=4294967295"},
		{"two, the first unaligned", Route, "11000000 0100 0000 01000000 00000000 aa000000" +
			"10000000 0100 0000 02000000 00000000", "NLMSG_NOOP seq=1 pid=0 hex:aa ; NLMSG_NOOP seq=2 pid=0"},
		{"tail", Route, "10000000 0100 0000 01000000 00000000 aabb", "NLMSG_NOOP seq=1 pid=0 ; hex:aabb"},
		{"dump", Route, "20000000 1200 0503 01000000 00000000 07000000 00000000 00000000 00000000",
			"RTM_GETLINK REQUEST|ACK|DUMP seq=1 pid=0 ifinfomsg{family=AF_BRIDGE,type=0,index=0,flags=0,change=0}"},
		{"short head", Route, "14000000 1600 0103 01000000 00000000 02000000",
			"RTM_GETADDR REQUEST|DUMP seq=1 pid=0 rtgenmsg{family=AF_INET}"},
		{"error", Route, "24000000 0200 0001 01000000 05000000 ffffffff 20000000 1300 0500 01000000 00000000",
			"NLMSG_ERROR CAPPED seq=1 pid=5 error=-EPERM request{RTM_SETLINK REQUEST|ACK seq=1 pid=0}"},
		{"error, whole request, tlvs", Route, "30000000 0200 0002 01000000 05000000 a1ffffff 11000000 0100 0500 01000000 00000000 ff000000" +
			"07000100 616200 00",
			`NLMSG_ERROR ACK_TLVS seq=1 pid=5 error=-EOPNOTSUPP request{NLMSG_NOOP REQUEST|ACK seq=1 pid=0 hex:ff} NLMSGERR_ATTR_MSG="ab"`},
		{"error with an unknown number", Route, "14000000 0300 0200 01000000 00000000 00000080",
			"NLMSG_DONE MULTI seq=1 pid=0 error=-2147483648"},
		{"nest", Route, "3c000000 1000 0506 01000000 00000000 00000000 00000000 00000000 00000000" +
			"1c00 1280 0b000100 62726964676500 00 0c000280 08000500 01000000",
			`RTM_NEWLINK REQUEST|ACK|EXCL|CREATE seq=1 pid=0 ifinfomsg{family=AF_UNSPEC,type=0,index=0,flags=0,change=0} ` +
				`IFLA_LINKINFO|NESTED{IFLA_INFO_KIND="bridge" IFLA_INFO_DATA|NESTED{IFLA_BR_STP_STATE=1}}`},
		{"attributes of a wrong length", Route, "2c000000 1000 0000 01000000 00000000 00000000 00000000 00000000 00000000" +
			"05000400 01000000 0300 0100",
			"RTM_NEWLINK seq=1 pid=0 ifinfomsg{family=AF_UNSPEC,type=0,index=0,flags=0,change=0} IFLA_MTU=hex:01 hex:03000100"},
		{"policies", Generic, "34000000 1000 0200 01000000 00000000 0a020000 20000880 1c000280 18000180 08000100 03000000 0c000200 0000000000000080",
			"GENL_ID_CTRL MULTI seq=1 pid=0 genlmsghdr{cmd=10,version=2,reserved=0} CTRL_ATTR_POLICY|NESTED{2|NESTED{1|NESTED{" +
				"NL_POLICY_TYPE_ATTR_TYPE=3 NL_POLICY_TYPE_ATTR_MIN_VALUE_S=-9223372036854775808}}}"},
		{"another protocol", 4, "14000000 1400 0103 01000000 00000000 01020304", "20 REQUEST|0x300 seq=1 pid=0 hex:01020304"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := decodeString(tt.proto, mustHex(t, tt.bytes)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestValues(t *testing.T) {
	for _, tt := range []struct {
		kind Kind
		text string
		hex  string
	}{
		{U8, "255", "ff"}, {U16, "1", "0100"}, {U32, "1500", "dc050000"}, {U64, "1", "0100000000000000"},
		{S32, "-1", "ffffffff"}, {BE16, "80", "0050"}, {BE32, "1", "00000001"},
		{Err, "-EPERM", "ffffffff"}, {Err, "-ENOTSUPP", "f4fdffff"}, {Err, "0", "00000000"}, {Err, "5", "05000000"},
		{Family, "AF_BRIDGE", "07"}, {Family, "200", "c8"},
		{String, `"lo"`, "6c6f00"}, {Str, `"lo"`, "6c6f"}, {String, `""`, "00"},
		{IP, "127.0.0.1", "7f000001"}, {IP, "::1", "00000000000000000000000000000001"},
		{Ether, "02:00:00:00:00:0a", "02000000000a"}, {Bytes, "hex:0102", "0102"}, {U32, "hex:01", "01"},
		{IP, "hex:01", "01"}, {String, "hex:610061", "610061"},
	} {
		b, err := ParseValue(tt.kind, tt.text)
		if err != nil || hex.EncodeToString(b) != tt.hex {
			t.Errorf("ParseValue(%v, %s) = %x, %v, not %s", tt.kind, tt.text, b, err, tt.hex)
		}
		if got := FormatValue(tt.kind, b); got != tt.text {
			t.Errorf("FormatValue(%v, %x) = %s, not %s", tt.kind, b, got, tt.text)
		}
	}
	for text, kind := range map[string]Kind{
		"256": U8, "-129": U8, "x": U32, "EPERM": Err, "-ENOSUCH": Err, "1.2.3": IP, "fe80::1%lo": IP,
		"1:2": Ether, "hex:0": Bytes, "zero:99999999": Bytes, "lo": String, "`a`": String, "1": Flag, "AF_INET|": U8,
	} {
		if b, err := ParseValue(kind, text); err == nil {
			t.Errorf("ParseValue(%v, %q) = %x, not an error", kind, text, b)
		}
	}
}

// Lookups rest on the order of the tables.
func TestTables(t *testing.T) {
	for id := SpaceLink; id <= SpaceError; id++ {
		s := id.space()
		if s.Name == "" {
			t.Errorf("space %d has no table", id)
		}
		for i, a := range s.Attrs {
			if i > 0 && a.Type <= s.Attrs[i-1].Type {
				t.Errorf("%s: %s is out of order", s.Name, a.Name)
			}
			if id.ByName(a.Name) == nil || id.ByName(a.Name).Type != a.Type || id.ByType(a.Type).Name != a.Name {
				t.Errorf("%s: %s is not found", s.Name, a.Name)
			}
		}
	}
	for i := range structs {
		for _, f := range structs[i].Fields {
			if int(f.Off+f.Size) > structs[i].Size || f.Kind.Size() != int(f.Size) {
				t.Errorf("%s.%s does not fit", structs[i].Name, f.Name)
			}
		}
	}
	for i := range routeTypes {
		if d := &routeTypes[i]; TypeOf(Route, d.Type) != d || TypeByName(Route, d.Name) != d {
			t.Errorf("%s is not found", d.Name)
		}
	}
	for e := Errno(1); e < 134; e++ {
		if got, ok := ErrnoByName(e.Error()); e != 41 && e != 58 && (!ok || got != e) {
			t.Errorf("errno %d has no name", e)
		}
	}
	if e, ok := ErrnoByName(""); ok {
		t.Errorf("no name is %v", e)
	}
}

// FuzzDecode: nothing that arrives makes the decoder panic or read beyond it,
// and every byte is either in a message or padding.
func FuzzDecode(f *testing.F) {
	f.Add(0, []byte("\x20\x00\x00\x00\x12\x00\x05\x03\x01\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add(0, []byte("\x24\x00\x00\x00\x02\x00\x00\x01\x01\x00\x00\x00\x05\x00\x00\x00\xff\xff\xff\xff\x20\x00\x00\x00\x13\x00\x05\x00\x01\x00\x00\x00\x00\x00\x00\x00"))
	f.Add(16, []byte("\x24\x00\x00\x00\x10\x00\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00\x0a\x02\x00\x00\x10\x00\x08\x80\x0c\x00\x02\x80\x08\x00\x01\x80\x01\x00\x00\x00"))
	f.Add(0, []byte("\x3c\x00\x00\x00\x10\x00\x05\x06\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x1c\x00\x12\x80\x0b\x00\x01\x00bridge\x00\x00\x0c\x00\x02\x80\x08\x00\x05\x00\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, proto int, b []byte) {
		b = b[:len(b):len(b)]
		at := 0
		for _, m := range Decode(proto, b) {
			if string(b[at:at+len(m.Raw)]) != string(m.Raw) {
				t.Fatal("a message is not where the one before it ends")
			}
			at = min(Align(at+len(m.Raw)), len(b))
			s := m.String()
			if s == "" || strings.ContainsAny(s, "\n\r\x00") {
				t.Fatalf("%q is not one line", s)
			}
			(&Printer{Stable: true, Index: func(uint32) string { return "i" }}).Message(&m)
		}
		if at != len(b) {
			t.Fatalf("%d of %d bytes decoded", at, len(b))
		}
	})
}
