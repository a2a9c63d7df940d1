package emulated

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nlrig/nlrig/vmtest/cases"
	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// TestCodeFlow walks the functions of the code flow that the cases exercise. Each has
// a function here whose comment cites it, and each that an exchange shows is entered
// in some case, under its name.
func TestCodeFlow(t *testing.T) {
	all, err := cases.All()
	require.NoError(t, err)
	flow, err := cases.Flow(all)
	require.NoError(t, err)
	cited := citations(t)
	entered := map[string]bool{}
	for _, release := range []string{"5.10", "7.3"} {
		k, err := boot(release, &tracer{f: func(e Event) { entered[e.Func] = true }})
		require.NoError(t, err)
		for _, c := range all {
			nlcase.Play(k, c)
		}
	}
	for _, b := range flow {
		if b.ID != "" {
			continue
		}
		assert.True(t, cited[b.Func], "no comment of a function cites %s", b.Func)
		if b.Unseen == "" {
			assert.True(t, entered[b.Func], "no case enters %s", b.Func)
		}
	}
	assert.Greater(t, len(flow), 50)
}

// citations are the words of the comments of functions.
func citations(t *testing.T) map[string]bool {
	pkgs, err := parser.ParseDir(token.NewFileSet(), ".", func(f fs.FileInfo) bool {
		return !strings.HasSuffix(f.Name(), "_test.go")
	}, parser.ParseComments)
	require.NoError(t, err)
	words := map[string]bool{}
	for _, p := range pkgs {
		for _, f := range p.Files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok {
					for _, w := range regexp.MustCompile(`\w+`).FindAllString(fn.Doc.Text(), -1) {
						words[w] = true
					}
				}
			}
		}
	}
	return words
}
