# SPDX-License-Identifier: MIT
#
# awk -f declared.awk HEADER... - prints the names that the headers declare TARN_API, one to a line. A function
# that is declared without it could be called but not linked: that is reported, and the exit status is 1.

function statement_ends(text, name) {
    gsub(/[ \t\n]+/, " ", text)
    if (text ~ /(^| )(static|typedef) /) {
        return
    }
    if (text !~ /TARN_API/) {
        if (text ~ /tarn_[a-z0-9_]+ ?\(/) {
            print file ": declared without TARN_API:" text > "/dev/stderr"
            faults++
        }
        return
    }
    # The name is the last word before the parameters, or before the end of a variable's declaration.
    sub(/.*TARN_API/, "", text)
    sub(/\(.*/, "", text)
    sub(/ *(\[.*)?$/, "", text)
    name = text
    sub(/.*[^A-Za-z0-9_]/, "", name)
    print name
}

function header_ends(i, c, depth, statement) {
    gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, " ", all)
    gsub(/extern "C" *\{/, " ", all)
    for (i = 1; i <= length(all); i++) {
        c = substr(all, i, 1)
        if (c == "{") {
            depth++
            if (depth == 1) {
                # The body of an inline function or the fields of a type: only what stands before it counts.
                inline = statement ~ /(^|[ \n])static /
            }
        } else if (c == "}") {
            if (depth > 0) {
                depth--
                if (depth == 0 && inline) {
                    statement = ""
                }
            }
        } else if (depth == 0 && c == ";") {
            statement_ends(statement)
            statement = ""
        } else if (depth == 0) {
            statement = statement c
        }
    }
    all = ""
}

FNR == 1 {
    if (file != "") {
        header_ends()
    }
    file = FILENAME
    continued = 0
}

# The preprocessor's lines, with what a backslash joins to them.
continued || /^[ \t]*#/ {
    continued = /\\$/
    next
}

{
    all = all $0 "\n"
}

END {
    header_ends()
    exit faults > 0
}
