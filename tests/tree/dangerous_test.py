#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""One place for each dangerous thing: finds it anywhere else in lib/ and cmd/.

usage: dangerous_test.py SOURCE-ROOT
"""
import fnmatch
import pathlib
import re
import sys

# What, as a regular expression over code without comments (and, but for escape codes, without
# string literals), and the files where it may stand.
RULES = [
    ("stopping", r"\bptrace\s*\(",
     ["lib/capture/stopper.c", "lib/capture/seize.c", "lib/capture/repair.c",
      "lib/capture/launcher.c"]),
    ("waiting for children", r"\b(?:waitpid|waitid|wait[34]?)\s*\(",
     ["lib/capture/stopper.c", "lib/capture/launcher.c", "lib/capture/guardian.c",
      "lib/symbols/namer_process.c", "cmd/help.c", "cmd/top.c"]),
    ("signals to others", r"\b(?:kill|tgkill|tkill|pidfd_send_signal|SYS_pidfd_send_signal)\b",
     ["lib/capture/launcher.c", "lib/capture/guardian.c", "lib/symbols/namer_process.c",
      "lib/target/process.c", "cmd/*"]),
    ("reading another's memory", r"\bprocess_vm_\w+", ["lib/target/memory.c"]),
    ("writing another's memory", r"\b(?:PTRACE_POKE(?:DATA|TEXT)|process_vm_writev)\b", []),
    ("writing another's registers", r"\bPTRACE_(?:POKEUSER|SETREGS|SETREGSET|SETFPREGS)\b",
     ["lib/capture/repair.c"]),
    ("perf_event_open", r"\b(?:SYS_|__NR_)?perf_event_open\b", ["lib/capture/perf.c"]),
    ("option parsing", r"\b(?:getopt\w*|argp_\w+)\s*\(", ["cmd/*"]),
    ("ending the program", r"\b(?:exit|_exit|_Exit|quick_exit)\s*\(",
     ["cmd/*", "lib/capture/launcher.c", "lib/capture/guardian.c",
      "lib/symbols/namer_child.c"]),
    ("aborting", r"\babort\s*\(", ["lib/base/error.c"]),
    ("messages", r"\bstderr\b|\bSTDERR_FILENO\b|\bperror\s*\(",
     ["cmd/*", "lib/base/error.c", "lib/capture/guardian.c", "lib/symbols/namer_child.c"]),
    ("sockets", r"\b(?:socket|socketpair|bind|listen|accept4?|connect)\s*\(",
     ["lib/live/*", "lib/symbols/namer_process.c"]),
    ("escape codes", r"\\(?:x1[bB]|033|e)",
     ["lib/report/text.c", "lib/live/*", "cmd/progress.c"]),
    ("never", r"\b(?:atoi|atol|atof|sprintf|vsprintf|strcpy|strcat|strtok|strtok_r|alloca|gets"
     r"|sleep|usleep)\s*\(", []),
    ("goto", r"\bgoto\b", []),
]

COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'',
                               re.DOTALL)


def blank(text):
    """The same number of lines, and nothing else."""
    return "\n" * text.count("\n") or " "


def without_comments(text, keep_strings):
    def replace(match):
        found = match.group(0)
        return found if keep_strings and found[0] in "\"'" else blank(found)
    return COMMENT_OR_STRING.sub(replace, text)


def allowed(name, places):
    return any(fnmatch.fnmatch(name, place) for place in places)


def hits(name, text, rule):
    what, pattern, places = rule
    if allowed(name, places):
        return
    code = without_comments(text, keep_strings=what == "escape codes")
    for match in re.finditer(pattern, code):
        line = code.count("\n", 0, match.start()) + 1
        yield f"{name}:{line}: {match.group(0).strip('( ')}"


def read_sources(root):
    files = {}
    for top in ("lib", "cmd"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix in (".c", ".h"):
                files[str(path.relative_to(root))] = path.read_text(encoding="utf-8")
    return files


def self_check():
    """The patterns find what they are for: a rule that matches nothing would always pass."""
    sample = """
    ptrace(a); waitpid(a); kill(b); process_vm_readv; PTRACE_POKEDATA; PTRACE_POKEUSER;
    perf_event_open; getopt_long(c); exit(1); abort(); stderr; socket(d); "\\x1b"; atoi(e); goto f;
    /* sprintf( strcpy( */ "alloca("; nanosleep(g); base_exit(h);
    """
    wrong = [what for what, pattern, _ in RULES
             if len(list(hits("lib/x/x.c", sample, (what, pattern, [])))) != 1]
    return [f"'{what}' does not match its sample once" for what in wrong]


def report(number, name, bad):
    print(f"{'not ok' if bad else 'ok'} {number} - {name}")
    for line in bad:
        print(f"# {line}")
    return bool(bad)


def main():
    files = read_sources(pathlib.Path(sys.argv[1]))
    print(f"1..{len(RULES) + 2}")
    failed = report(1, f"there are sources to check ({len(files)})",
                    [] if files else ["no .c or .h file in lib/ or cmd/"])
    failed |= report(2, "the patterns find what they are for", self_check())
    for number, rule in enumerate(RULES, 3):
        bad = [hit for name, text in files.items() for hit in hits(name, text, rule)]
        failed |= report(number, f"{rule[0]}: only in {', '.join(rule[2]) or 'no file'}", bad)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
