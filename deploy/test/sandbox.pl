# SPDX-License-Identifier: Apache-2.0
# Attempts of a process, for deploy/test/systemd.sh: what cenoted needs ("may"), and what its unit is
# to forbid though its user could do it otherwise ("mustn't"). A line each: which of both, what, and
# whether it can be done.
# Usage: perl sandbox.pl [FILE]
use strict;
use warnings;
use IO::Handle;
use Socket;

# Numbers of system calls; this must do with what a minimal Debian has.
my ($mmap, $mlock, $madvise, $mbind, $memfd, $unshare, $ptrace, $personality) =
    `uname -m` =~ /aarch64/ ? (222, 228, 233, 235, 279, 97, 117, 92)
                            : (9, 149, 28, 237, 319, 272, 101, 135);
my $len = 2 << 20;
my ($read_write, $all) = (3, 7);
my ($shared, $private_anonymous) = (1, 0x22);

my $out = *STDOUT;
open $out, '>', $ARGV[0] or die "$!" if @ARGV;
$out->autoflush(1);

sub tell_of {
    my ($kind, $what, $can) = @_;
    print $out "$kind $what ", $can ? "can\n" : "can't\n";
}

# In a process of its own.
sub apart {
    my ($attempt) = @_;
    my $child = fork // die "$!";
    exit($attempt->() ? 0 : 1) if $child == 0;
    waitpid $child, 0;
    return $? == 0;
}

sub writes {
    my ($path) = @_;
    open(my $file, '>', $path) or return 0;
    close $file;
    return unlink $path;
}

sub has_family {
    my ($family, $type) = @_;
    return socket(my $socket, $family, $type, 0);
}

sub done { return shift() != -1 }

for my $directory ('/var/lib/cenote', '/run/cenote', '/dev/shm', '/tmp') {
    tell_of('may', "write $directory", writes("$directory/attempt"));
}
my $descriptor = syscall($memfd, my $name = 'attempt', 0);
open my $memory, '+<&=', $descriptor;
my $sized = done($descriptor) && truncate $memory, $len;
my $at = $sized ? syscall($mmap, 0, $len, $read_write, $shared, $descriptor, 0) : -1;
tell_of('may', 'map a memfd', done($at));
tell_of('may', 'lock memory', done(syscall $mlock, $at, $len));
tell_of('may', 'ask for huge pages', done(syscall $madvise, $at, $len, 14));
tell_of('may', 'bind memory to any node', done(syscall $mbind, $at, $len, 0, 0, 0, 0));
tell_of('may', 'use UNIX sockets', has_family(AF_UNIX, SOCK_STREAM));
tell_of('may', 'use IPv4', has_family(AF_INET, SOCK_STREAM));
tell_of('may', 'use IPv6', has_family(AF_INET6, SOCK_STREAM));
tell_of('may', 'use netlink', has_family(16, SOCK_RAW));
tell_of('may', "see another's process", -r '/proc/1/stat');

for my $directory ('/srv/anybody', '/run/user/anybody') {
    tell_of("mustn't", "write $directory", writes("$directory/attempt"));
}
tell_of("mustn't", 'open a device', open(my $device, '>>', '/dev/forbidden'));
tell_of("mustn't", 'use AF_VSOCK or AF_ALG', has_family(40, SOCK_STREAM) || has_family(38, SOCK_SEQPACKET));
tell_of("mustn't", 'have memory that is written and executed',
    done(syscall $mmap, 0, 4096, $all, $private_anonymous, -1, 0));
tell_of("mustn't", 'make a name space', apart(sub { done(syscall $unshare, 0x10000000) }));
tell_of("mustn't", 'trace', apart(sub { done(syscall $ptrace, 0, 0, 0, 0) }));
tell_of("mustn't", 'change its personality', apart(sub { done(syscall $personality, 0x40000) }));
open my $file, '>', '/tmp/attempt' or die "$!";
tell_of("mustn't", 'make a program that sets its user', chmod(04755, '/tmp/attempt'));
unlink '/tmp/attempt';
