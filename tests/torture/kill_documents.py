"""Documents to kill: between them every kind of node and block that this version has."""

from __future__ import annotations

from torture.rig import python, step


def document(body: str, front: str = "") -> str:
    head = f"---\n{front.strip()}\n---\n" if front else ""
    return f"{head}# To be killed\n\n<workflow>\n{body}\n</workflow>\n"


MIXED = document(f"""
<source:value id="numbers">[1, 2, 3, 4, 5, 6]</source:value>
<command id="first"><on-error><retry max="2" base="50ms" jitter="none"/></on-error>
{step("echo one", work='test "$WEFT_ATTEMPT" -ge 2')}</command>
<foreach id="each" collection="numbers" concurrency="3">
  <command id="square" env='{{N: "{{{{ $item }}}}"}}'>{step("echo $((N * N))")}</command>
  <transform:value id="labelled">{{n: $item, square: to_number(square)}}</transform:value>
</foreach>
<parallel id="both">
  <branch><python id="left">{python("numbers", "sum(numbers)")}</python></branch>
  <branch><command id="right">{step("echo r")}</command>
    <if id="which" condition="right == 'r'">
      <then><command id="taken">{step("echo taken")}</command></then>
      <else><command id="untaken">{step("echo untaken")}</command></else>
    </if></branch>
</parallel>
<set var="kept" expression="length(each) + 1"/>
<command id="last">{step("echo last")}</command>
<transform:value id="all">[first, each, both, last, $context.kept]</transform:value>
""")

NESTED = document(f"""
<foreach id="outer" collection="['a', 'b', 'c']" concurrency="2">
  <foreach id="inner" collection="[1, 2]" concurrency="2" item="number">
    <command id="work" env='{{X: "{{{{ number }}}}"}}'>{step("echo w$X")}</command>
    <parallel id="pair">
      <branch><command id="p">{step("echo p")}</command></branch>
      <branch><transform:value id="q">work + '-q'</transform:value></branch>
    </parallel>
  </foreach>
  <loop id="rounds" max="2">
    <command id="round">{step("echo r$WEFT_ATTEMPT")}</command>
  </loop>
  <transform:value id="joined">{{inner: inner, rounds: rounds, index: $index}}</transform:value>
</foreach>
""")

ISSUES = document(f"""
<foreach id="each" collection="range(8)" concurrency="3" on-failure="continue">
  <command id="try" env='{{N: "{{{{ $item }}}}"}}'>{step("echo ok$N", work="test $((N % 3)) -ne 1")}</command>
  <command id="then">{step("echo then")}</command>
</foreach>
<command id="saved">
  <on-error><fallback><command id="instead">{step("echo instead")}</command></fallback></on-error>
  {step("echo never", work="false")}
</command>
<parallel id="race" wait="any">
  <branch><command id="fast">{step("echo fast", 0.1)}</command></branch>
  <branch><command id="slow">{step("echo slow", 5)}</command></branch>
</parallel>
<transform:value id="all">[each, saved, race]</transform:value>
""")

SINKS = document(
    """
<source:value id="rows">[10, 20, 30, 40]</source:value>
<foreach id="post" collection="rows" concurrency="2">
  <sink:http id="send" url="{{ $env.SERVER + '/' + to_text($index) }}" json="{{ {n: $item} }}"/>
  <sink:file id="keep" path="{{ 'out/' + to_text($index) + '.json' }}" input="send"/>
</foreach>
<sink:http id="final" url="{{ $env.SERVER + '/final' }}" json="{{ post }}"/>
<transform:value id="all">[length(post), final.status]</transform:value>
""",
    "runtime: {env: [SERVER]}",
)

ONCE = document(f"""
<command id="before">{step("echo before")}</command>
<foreach id="pay" collection="[1, 2, 3]" concurrency="2">
  <command id="prepare">{step("echo ready")}</command>
  <command id="charge" effect="once">{step("echo paid", 0.1)}</command>
  <command id="receipt">{step("echo receipt")}</command>
</foreach>
<command id="close" effect="once">{step("echo closed", 0.1)}</command>
<transform:value id="all">[before, pay, close]</transform:value>
""")

SAGA = document(f"""
<command id="hotel">{step("echo h1")}
  <compensate>
    <command id="no-hotel" env='{{WHAT: "{{{{ input }}}}"}}'>{step("echo gone $WHAT", 0.05)}</command>
  </compensate>
</command>
<foreach id="seats" collection="[1, 2, 3]" concurrency="2" needs="hotel">
  <command id="seat">{step("echo s")}
    <compensate><command id="no-seat">{step("echo gone", 0.05)}</command></compensate>
  </command>
</foreach>
<command id="car" needs="seats">{step("echo c1")}
  <compensate><command id="no-car">{step("echo gone", 0.05)}</command></compensate>
</command>
<command id="break" needs="car">{step("echo never", work="exit 3")}</command>
""")

PURE = document("""
<source:value id="numbers">[5, 6, 7]</source:value>
<foreach id="each" collection="range(200)" concurrency="20">
  <transform:value id="double">$item * 2</transform:value>
  <transform:value id="more">double + sum(numbers)</transform:value>
</foreach>
<delay id="wait" duration="300ms"/>
<transform:reduce id="total" input="each" initial="0" needs="wait">$acc + $item</transform:reduce>
""")

ROUGH = document(f"""
<foreach id="each" collection="[0, 1, 2, 3]" concurrency="2" on-failure="continue">
  <parallel id="pair" on-failure="cancel">
    <branch><command id="a" env='{{N: "{{{{ $item }}}}"}}'>{step("echo a$N", work='test "$N" != 1')}</command></branch>
    <branch><command id="b" env='{{N: "{{{{ $item }}}}"}}'>{step("echo b$N", 0.08)}</command></branch>
  </parallel>
  <transform:value id="joined">join(pair, '-')</transform:value>
</foreach>
<command id="late" timeout="150ms">
  <on-error>
    <retry max="1" base="20ms" jitter="none"/>
    <fallback><command id="early">{step("echo early")}</command></fallback>
  </on-error>
  {step("echo late", 3)}
</command>
<loop id="rounds" max="6">
  <command id="round" env='{{I: "{{{{ $iteration }}}}"}}'>{step("echo r$I")}</command>
  <break when="$iteration == 2"/>
  <command id="rest">{step("echo rest")}</command>
</loop>
<foreach id="search" collection="range(9)" concurrency="3">
  <command id="look" env='{{I: "{{{{ $item }}}}"}}'>{step("echo l$I")}</command>
  <if id="found" condition="$item == 2">
    <then><break/></then>
    <else><transform:value id="kept">look</transform:value></else>
  </if>
</foreach>
<foreach id="slow" collection="[1, 2]" timeout="250ms" on-failure="continue">
  <command id="long">{step("echo long", 5)}</command>
</foreach>
<transform:value id="all">[each, late, rounds, search]</transform:value>
""")
