# SPDX-License-Identifier: MIT
# What tests/programs/run has perl do: blocks of many sizes that live in hashes, arrays and strings.
use strict;
use warnings;

my $state = 1;
sub draw { $state = ($state * 1103515245 + 12345) & 0x7fffffff; return ($state >> 8) % $_[0]; }

my %count;
my @kept;
for my $i (1 .. 300000) {
    my $word = join '', map { chr(97 + draw(26)) } 1 .. 2 + draw(4);
    $count{$word}++;
    push @{ $kept[draw(1000)] }, $word x (1 + draw(20)) if $i % 3 == 0;
    delete $count{$word} if draw(10) == 0;
}
my $sum = 0;
$sum += length($_) for map { @{ $_ || [] } } @kept;
print scalar(keys %count), " words, $sum characters\n";
print join(' ', (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 20]), "\n";

my $text = join ' ', sort keys %count;
my $matches = () = $text =~ /\b(\w)(\w)\2\1\b/g;
(my $changed = $text) =~ s/([aeiou])(\w)/$2$1/g;
print "$matches palindromes, ", unpack('%32C*', $changed), "\n";

my $long = '';
$long .= sprintf('%d,', $_) for 1 .. 200000;
my @parts = split /,/, $long;
print scalar(@parts), ' ', length($long), ' ', join('', reverse(split //, substr($long, -30))), "\n";

my @tree;
sub grow { my $depth = shift; return [ $depth, map { grow($depth - 1) } 1 .. ($depth > 0 ? 5 : 0) ]; }
sub size_of { my $node = shift; my $size = 1; $size += size_of($node->[$_]) for 1 .. $#$node; return $size; }
print size_of(grow(7)), " nodes\n";

my $pid = fork();
if ($pid == 0) { @kept = (); my @more = map { 'x' x $_ } 1 .. 3000; exit(@more == 3000 ? 7 : 1); }
waitpid($pid, 0);
print 'child ', $? >> 8, "\n";
