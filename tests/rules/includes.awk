# SPDX-License-Identifier: MIT
#
# awk -f includes.awk includes.txt FILE... - reports every #include that the rule does not allow, and exits 1 if
# there is one. The paths of the files are relative to the root of the tree: src/heap/pages.c.

function fault(text) {
    print FILENAME ":" FNR ": " text
    faults++
}

# The room of a file of the tree, or of a header as it is written in an #include; "" if it is of no room.
function room_of(path, parts, count) {
    count = split(path, parts, "/")
    if (parts[1] == "include") {
        return room_of_public(parts[count])
    }
    if (parts[1] == "tarn") {
        return room_of_public(parts[2])
    }
    return parts[1] == "src" ? parts[2] : parts[1]
}

function room_of_public(header) {
    if (header in public_room) {
        return public_room[header]
    }
    sub(/\.h(pp)?$/, "", header)
    return header
}

# Rooms keep their words apart by spaces, with one at each end.
function lists(words, word) {
    return index(words, " " word " ") > 0
}

BEGIN {
    rule_file = ARGV[1]
}

FNR == 1 {
    is_rule = FILENAME == rule_file
    in_comment = 0
    room = is_rule ? "" : room_of(FILENAME)
    if (!is_rule && !(room in may)) {
        fault("the room '" room "' is not in tests/rules/includes.txt")
    }
}

is_rule {
    sub(/#.*/, "")
    if (NF == 0) {
        next
    }
    colon = index($0, ":")
    if (colon == 0) {
        fault("a rule is NAME: WHAT...")
        next
    }
    name = substr($0, 1, colon - 1)
    what = substr($0, colon + 1)
    gsub(/[ \t]+/, " ", what)
    what = " " what " "
    gsub(/ +/, " ", what)
    if (name ~ /^public /) {
        sub(/^public +/, "", name)
        gsub(/ /, "", what)
        public_room[name] = what
    } else if (name ~ /^</) {
        gsub(/[<>]/, "", name)
        kept[name] = what
    } else {
        may[name] = what
    }
    next
}

# Comments may speak of includes.
{
    line = $0
    if (in_comment) {
        if (line !~ /\*\//) {
            next
        }
        sub(/.*\*\//, "", line)
        in_comment = 0
    }
    gsub(/\/\*([^*]|\*[^\/])*\*\//, "", line)
    if (line ~ /\/\*/) {
        in_comment = 1
        sub(/\/\*.*/, "", line)
    }
}

line ~ /^[ \t]*#[ \t]*include[ \t]*</ {
    header = line
    sub(/^[^<]*</, "", header)
    sub(/>.*/, "", header)
    # An example is written as a user would write it.
    if (header ~ /^tarn\// && room != "examples") {
        fault("<" header "> is ours: include it with quotes")
        next
    }
    family = header
    sub(/\/.*/, "/*", family)
    for (name in kept) {
        if ((name == header || name == family) && !lists(kept[name], room)) {
            fault("<" header "> is only for" kept[name] "(tests/rules/includes.txt)")
        }
    }
    next
}

line ~ /^[ \t]*#[ \t]*include/ {
    header = line
    if (header !~ /"[^"]*"/) {
        fault("cannot tell what this includes")
        next
    }
    sub(/^[^"]*"/, "", header)
    sub(/".*/, "", header)
    if (header ~ /\.c$/) {
        fault("\"" header "\" is no header")
        next
    }
    if (header ~ /\.\./ || header !~ /\//) {
        # A neighbour by its bare name would hide which room it is of; only the command's folder is flat.
        if (header ~ /\.\./ || room != "cli" && room != "examples") {
            fault("\"" header "\" does not name its room: write \"room/header.h\"")
        }
        next
    }
    target = room_of(header)
    if (target == room || lists(may[room], header) || lists(may[room], target)) {
        next
    }
    if (header ~ /^tarn\// && lists(may[room], "tarn/*")) {
        next
    }
    fault("the room '" room "' may not include \"" header "\" (tests/rules/includes.txt)")
}

END {
    exit faults > 0
}
