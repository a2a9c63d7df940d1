package nlcase

import "strings"

// Release is a kernel's release for version guards, from what uname -r and
// uname -v say. Debian's stable kernels name an ABI in the first and the
// release in the second: "6.1.0-56-cloud-amd64" and "#1 SMP ... Debian
// 6.1.192-2 (2026-11-16)" are 6.1.192.
func Release(release, version string) string {
	_, debian, ok := strings.Cut(version, " Debian ")
	if !ok {
		return release
	}
	debian, _, _ = strings.Cut(debian, "-")
	if compareRelease(debian, series(release)) != 0 {
		return release
	}
	return debian
}

// series is the first two numbers: 6.1.
func series(release string) string {
	parts := strings.SplitN(release, ".", 3)
	if len(parts) < 3 {
		return release
	}
	return parts[0] + "." + parts[1]
}
