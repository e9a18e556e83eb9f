#!/usr/bin/perl
# image/tests/ledger.pl [HOST:]PORT FILE [COUNT]: the sender outside the machine: numbered lines, one at a time; a number goes to FILE when the gateway has
# accepted it (ACK, 0x06), and the next one is sent then. Whatever happens to the connection, the same number is sent again. Without COUNT: for ever.
# LEDGER_PAUSE_S: between two of them.
use strict;
use warnings;
use IO::Socket::INET;
$| = 1;
my ($port, $file, $count) = @ARGV;
my $host = $port =~ s/^(.*):// ? $1 : '127.0.0.1';
my $pause = $ENV{LEDGER_PAUSE_S} // 0.02;
my $next = 1;
if (open my $old, '<', $file) { while (<$old>) { $next = $1 + 1 if /^(\d+)$/ } }
open my $accepted, '>>', $file or die "$file: $!";
$accepted->autoflush(1);
my $last = defined $count ? $next + $count - 1 : undef;
$SIG{PIPE} = 'IGNORE';
while (!defined $last || $next <= $last) {
  my $socket = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Timeout => 5);
  if (!$socket) { select undef, undef, undef, 0.2; next }
  while (!defined $last || $next <= $last) {
    print $socket "message $next\n" or last;
    my $ready = '';
    vec($ready, fileno($socket), 1) = 1;
    select($ready, undef, undef, 5) or last;
    sysread($socket, my $ack, 1) or last;
    last if $ack ne "\x06";
    print $accepted "$next\n";
    $next++;
    select undef, undef, undef, $pause;
  }
  close $socket;
  select undef, undef, undef, 0.2;
}
