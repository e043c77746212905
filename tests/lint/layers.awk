# The include rule: `#include "folder/…"` only as docs/layers.txt allows.
# usage: awk -f layers.awk docs/layers.txt FILE…
FNR == NR {
	if ($0 ~ /^#/ || NF == 0)
		next
	split($0, parts, ":")
	folder = parts[1]
	known[folder] = 1
	may[folder, folder] = 1
	n = split(parts[2], list, " ")
	for (i = 1; i <= n; i++)
		may[folder, list[i]] = 1
	next
}
function folder_of(path) {
	sub(/\/[^\/]*$/, "", path)
	if (path ~ /^proto\/schema/)
		return "proto"
	return path
}
/^#[ \t]*include[ \t]*"/ {
	split($0, q, "\"")
	from = folder_of(FILENAME)
	to = folder_of(q[2])
	if (!(from in known)) {
		print FILENAME ": the folder " from " is not in docs/layers.txt"
		bad = 1
	} else if (!((from, to) in may)) {
		print FILENAME ":" FNR ": " from " must not include " q[2]
		bad = 1
	}
	if (q[2] ~ /\.pb-c\.h$/ && FILENAME !~ /^proto\/msg_[a-z0-9_]*\.c$/) {
		print FILENAME ":" FNR ": generated headers are included in proto/msg_*.c only"
		bad = 1
	}
}
END { exit bad }
