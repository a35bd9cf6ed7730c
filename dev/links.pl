# Checks the links between pages: PAGE... Says which lead to no file, or to no heading of it (by GitHub's anchors).
use strict;
use warnings;

my %anchors;
sub anchors {
    my $page = shift;
    return $anchors{$page} if $anchors{$page};
    my (%seen, %found);
    open(my $in, '<', $page) or return $anchors{$page} = {};
    my $text = do { local $/; <$in> };
    $text =~ s/^```.*?^```$//gms;
    while ($text =~ /^#+ +(.+?) *$/gm) {
        my $name = lc $1;
        $name =~ s/\[([^]]*)\]\([^)]*\)/$1/g;
        $name =~ s/[^\w\- ]//g;
        $name =~ s/ /-/g;
        my $count = $seen{$name}++;
        $found{$count ? "$name-$count" : $name} = 1;
    }
    return $anchors{$page} = \%found;
}
my $bad = 0;
for my $page (@ARGV) {
    open(my $in, '<', $page) or die "$page: $!";
    my ($directory) = $page =~ m{^(.*/)}; $directory //= '';
    my ($code, $number) = (0, 0);
    while (my $line = <$in>) {
        $number++;
        $code = !$code if $line =~ /^```/;
        next if $code;
        $line =~ s/``.*?``|`[^`]*`//g;
        while ($line =~ /\]\(([^)\s]+)\)/g) {
            my $link = $1;
            next if $link =~ /^[a-z]+:/;
            my ($file, $anchor) = split /#/, $link, 2;
            my $target = $file ? "$directory$file" : $page;
            1 while $target =~ s{[^/]+/\.\./}{};
            if (!-e $target) { print "$page:$number: there is no $target\n"; $bad = 1; }
            elsif (defined $anchor && !anchors($target)->{$anchor}) { print "$page:$number: $target has no heading #$anchor\n"; $bad = 1; }
        }
    }
}
exit $bad;
