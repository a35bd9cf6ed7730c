# Tries, inside the guard's sandbox, what the guard needs and what it must not be able to do.
use strict;
use warnings;
use Socket;

sub told {
    my ($what, $works, $wanted) = @_;
    my $words = $works ? 'may' : 'cannot';
    print $works eq $wanted ? "$words $what\n" : "MUST " . ($wanted ? '' : 'NOT ') . "$what\n";
}

sub reading {
    my ($path, $wanted) = @_;
    my $file;
    my $works = open($file, '<', $path) && defined(readline($file)) ? 1 : 0;
    told("read $path", $works, $wanted);
}

sub writing {
    my ($path, $wanted) = @_;
    my $works = open(my $file, '>>', $path) ? 1 : 0;
    told("write $path", $works, $wanted);
}

sub family {
    my ($name, $number, $kind, $wanted) = @_;
    my $works = socket(my $socket, $number, $kind, 0) ? 1 : 0;
    told("open a socket of the family $name", $works, $wanted);
}

sub executing {
    my ($program, $wanted, @arguments) = @_;
    my $child = fork();
    if (!$child) {
        open(STDOUT, '>', '/dev/null');
        exec { $program } $program, @arguments or exit 126;
    }
    waitpid($child, 0);
    told("execute $program", ($? >> 8) != 126 ? 1 : 0, $wanted);
}

reading($_, 1) for '/var/log/asterisk/messages', '/etc/asterisk/pjsip.conf', '/etc/asterguard/asterguard.toml';
reading($_, 0) for '/etc/asterisk/manager.conf', '/home/user/secret', '/root/secret', '/etc/shadow', '/proc/1/status', '/dev/kmsg';
writing($_, 1) for '/var/lib/asterguard/probe';
unlink '/var/lib/asterguard/probe';
writing($_, 0) for '/var/log/asterisk/messages', '/etc/asterguard/asterguard.toml', '/usr/bin/probe', '/run/probe', '/var/lib/probe', '/var/spool/probe', '/proc/sys/net/ipv4/ip_forward';
family('AF_UNIX', AF_UNIX, SOCK_STREAM, 1);
family('AF_NETLINK', 16, SOCK_RAW, 1);
family('AF_INET', AF_INET, SOCK_STREAM, 0);
family('AF_INET6', AF_INET6, SOCK_DGRAM, 0);
family('AF_PACKET', 17, SOCK_RAW, 0);
executing('/usr/sbin/nft', 1, '--version');
executing($_, 0, '-c', 'true') for '/bin/sh', '/usr/bin/dash', '/usr/bin/env', '/usr/bin/mount';
