"""The command line: each command parses, calls one function and prints. Imports stay inside the commands.

Results go to stdout, chatter and progress to stderr. Exit code 1: an error of the user's files; 2: of the
command's words.
"""
