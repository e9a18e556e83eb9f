#!/usr/bin/perl
# image/tests/server.pl PORT FILE: a server for one client at a time; the address says how it behaves: /breaks (the line breaks after a megabyte, a range is
# given), /no-size, /more (sends a megabyte more than it said), /huge (says that it has 10 GB); another address is not found.
use strict;
use warnings;
use IO::Socket::INET;
my ($port, $path) = @ARGV;
open my $file, '<:raw', $path or die "$path: $!";
my $size = -s $path;
my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', LocalPort => $port, ReuseAddr => 1) or die $!;
$SIG{PIPE} = 'IGNORE';
while (my $client = $listener->accept) {
  my ($method, $how, $from) = ('', '', 0);
  while (my $line = <$client>) {
    ($method, $how) = ($1, $2) if $line =~ m{^(\w+) /(\S+) };
    $from = $1 if $line =~ /^Range: bytes=(\d+)-/i;
    last if $line eq "\r\n";
  }
  my $said = $how eq 'huge' ? 10_000_000_000 : $size;
  if ($how !~ /^(?:breaks|no-size|more|huge)$/) {
    print $client "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  } elsif ($method eq 'HEAD') {
    print $client "HTTP/1.1 200 OK\r\n" . ($how eq 'no-size' ? '' : "Content-Length: $said\r\n") . "Connection: close\r\n\r\n";
  } else {
    my $status = $from ? '206 Partial Content' : '200 OK';
    # Without a length it goes on for as long as it likes.
    print $client "HTTP/1.1 $status\r\n" . ($from ? "Content-Range: bytes $from-" . ($size - 1) . "/$size\r\n" : '')
      . ($how eq 'more' ? '' : 'Content-Length: ' . ($said - $from) . "\r\n") . "Connection: close\r\n\r\n";
    seek $file, $from, 0;
    read $file, my $bytes, $how eq 'breaks' ? 1 << 20 : $size;
    print $client $bytes;
    print $client 'x' x (1 << 20) if $how eq 'more';
  }
  close $client;
}
