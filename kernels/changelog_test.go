package kernels

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const someChangelog = `linux-signed-amd64 (6.1.192+2) bookworm-security; urgency=high

  * Sign kernel from linux 6.1.192-2

  * rtnetlink: one more

 -- A Person <a@example.org>  Mon, 16 Nov 2026 11:17:40 +0100

linux (6.1.190-1) bookworm-security; urgency=high

  * New upstream stable update:
    https://www.example.org/ChangeLog-6.1.191
    - ext4: fix a thing
    - netlink: do not forget what was
      said (CVE-2026-1)

 -- A Person <a@example.org>  Mon, 2 Nov 2026 11:17:40 +0100

linux (6.1.187-1) bookworm-security; urgency=high

    - netlink: of old

 -- A Person <a@example.org>  Mon, 2 Oct 2026 11:17:40 +0100
`

func TestChanges(t *testing.T) {
	like := regexp.MustCompile(`netlink`)
	items, of, err := changes(strings.NewReader(someChangelog), "6.1.187", like)
	require.NoError(t, err)
	assert.Equal(t, []string{"6.1.192: rtnetlink: one more", "6.1.190: netlink: do not forget what was said (CVE-2026-1)"}, items)
	assert.Equal(t, 5, of)
	items, _, err = changes(strings.NewReader(someChangelog), "6.1.180", like)
	require.NoError(t, err)
	assert.Len(t, items, 3)
	_, _, err = new(Kernel).Changes("6.1", like)
	assert.ErrorIs(t, err, ErrNoChangelog)
}
