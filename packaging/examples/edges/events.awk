# Reads what a notifier of kind "command" gets, or what `asterguard export` writes, and prints a line for each ban:
#
#   ban HOST SECONDS     SECONDS that it lasts from now on; 0: it has no end
#   unban HOST
#
#   LC_ALL=C awk -v now="$(date +%s)" -f events.awk
#
# HOST has only the characters of an address or a network. Bans of one port of a host are left out. It reads JSON
# character by character, so that no text in it can pass for something else. Exit code 3: this is no such JSON; 4: there
# were more bans than are named (the named ones are printed).

{ text = text $0 "\n" }

function broken(why) {
    print "events.awk: " why >"/dev/stderr"
    failed = 3
    exit 3
}

# Whether a host is written as an address or a network; not one port of a host.
function is_host(host) {
    if (length(host) > 43) return 0
    if (host ~ /^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+(\/[0-9]+)?$/) return 1
    return host ~ /^[0-9a-f:]+(\/[0-9]+)?$/ && host ~ /:.*:/
}

# An event, or a ban of an export, is complete.
function told(    kind, left) {
    if ("omitted" in field) { more = 1; return }
    if (!("host" in field)) return
    # An export has no kind, and seconds.
    kind = "kind" in field ? field["kind"] : "ban"
    if (kind != "ban" && kind != "unban") return
    if (!is_host(field["host"])) return
    if (kind == "unban") { print "unban " field["host"]; return }
    left = 0
    if (field["until"] != "" && field["until"] != "null") {
        if (field["until"] !~ /^[0-9]+$/) broken("until is no number")
        left = field["until"] / ("kind" in field ? 1000 : 1) - now
        if (left <= 0) return
        # A year at most: more is no end for those who read this.
        left = left > 31536000 ? 31536000 : int(left) + (left > int(left))
    }
    printf "ban %s %d\n", field["host"], left
}

# A value has ended: `value` of `key`, in an object that is as deep as an event, or one deeper.
function value_of(key, value) {
    if (depth == event) field[key] = value
    else if (depth == event + 1 && name[event] == "ban" && key == "until") field["until"] = value
}

END {
    if (failed) exit failed
    size = length(text)
    depth = 0
    # Events may be in an array; then they are one deeper.
    event = 1
    for (at = 1; at <= size; at++) {
        c = substr(text, at, 1)
        if (c == " " || c == "\n" || c == "\r" || c == "\t") continue
        if (c == "{" || c == "[") {
            if (depth == 0 && c == "[") event = 2
            if (++depth > 8) broken("it is too deep")
            kind_of[depth] = c
            name[depth] = ""
            wants_key = c == "{"
            if (depth == event) {
                if (c == "{") split("", field)
            }
        } else if (c == "}" || c == "]") {
            if (depth == 0 || kind_of[depth] != (c == "}" ? "{" : "[")) broken("a bracket is wrong")
            if (depth == event && c == "}") told()
            depth--
            wants_key = 0
            if (depth == 0) event = 1
        } else if (c == ",") {
            wants_key = kind_of[depth] == "{"
        } else if (c == ":") {
            if (depth == 0 || kind_of[depth] != "{") broken("a colon is wrong")
            wants_key = 0
        } else if (c == "\"") {
            string = ""
            for (at++; at <= size; at++) {
                c = substr(text, at, 1)
                if (c == "\"") break
                if (c == "\\") { c = c substr(text, ++at, 1) }
                # Nothing that is read here is longer.
                if (length(string) < 64) string = string c
            }
            if (at > size) broken("a text does not end")
            if (depth == 0) broken("this is no object")
            if (kind_of[depth] == "{" && wants_key) name[depth] = string
            else if (kind_of[depth] == "{") value_of(name[depth], string)
        } else {
            word = ""
            while (at <= size && (c = substr(text, at, 1)) ~ /[-+.0-9a-zA-Z]/) { word = word c; at++ }
            if (word == "" || depth == 0) broken("this is no JSON")
            at--
            if (kind_of[depth] == "{" && !wants_key) value_of(name[depth], word)
        }
    }
    if (depth != 0) broken("it is incomplete")
    if (more) exit 4
}
