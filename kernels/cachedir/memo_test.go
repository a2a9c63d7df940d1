package cachedir

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What was found is found again only if that takes reading no more than it did,
// and whatever changed a file has it looked for anew.
func TestMemo(t *testing.T) {
	dir := t.TempDir()
	file, record := filepath.Join(dir, "file"), filepath.Join(dir, "record")
	require.NoError(t, os.WriteFile(file, []byte("aaaa"), 0o644))
	asked := 0
	memo := func(key string) string {
		t.Helper()
		s, err := Memo(record, key, []string{file}, func() (string, error) { asked++; return strconv.Itoa(asked), nil })
		require.NoError(t, err)
		return s
	}
	assert.Equal(t, "1", memo("k"))
	assert.Equal(t, "2", memo("k"), "a file that has just been written may be written again with the same times")
	time.Sleep(2 * tick)
	assert.Equal(t, "3", memo("k"))
	assert.Equal(t, "3", memo("k"))
	assert.Equal(t, "4", memo("l"))

	st, err := os.Stat(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte("aaab"), 0o644))
	require.NoError(t, os.Chtimes(file, st.ModTime(), st.ModTime()))
	time.Sleep(2 * tick)
	assert.Equal(t, "5", memo("l"), "its size and its time of modification are the old ones")
	assert.Equal(t, "5", memo("l"))
	require.NoError(t, os.Rename(file, file+"2"))
	assert.Equal(t, "6", memo("l"))
	assert.Equal(t, "7", memo("l"), "a file that is not there")
}

func TestMemoOfErrors(t *testing.T) {
	dir := t.TempDir()
	file, record := filepath.Join(dir, "file"), filepath.Join(dir, "record")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	time.Sleep(2 * tick)
	wrong := errors.New("wrong")
	for range 2 {
		_, err := Memo(record, "", []string{file}, func() (string, error) { return "x", wrong })
		require.ErrorIs(t, err, wrong)
	}
	found, err := Memo(record, "", []string{file}, func() (string, error) { return "x", nil })
	require.NoError(t, err)
	assert.Equal(t, "x", found)
	found, err = Memo(record, "", []string{file}, func() (string, error) { return "", wrong })
	require.NoError(t, err)
	assert.Equal(t, "x", found)

	require.NoError(t, os.WriteFile(record, []byte("damaged"), 0o644))
	found, err = Memo(record, "", []string{file}, func() (string, error) { return "y", nil })
	require.NoError(t, err)
	assert.Equal(t, "y", found)
}
